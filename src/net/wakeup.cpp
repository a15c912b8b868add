#include "net/wakeup.hpp"

#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/check.hpp"

namespace ipf {

Wakeup::Wakeup() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  IPF_CHECK(fd_ >= 0);
}

Wakeup::~Wakeup() {
  close(fd_);
}

void Wakeup::signal() const {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the owner is awake anyway.
  [[maybe_unused]] const auto written = write(fd_, &one, sizeof one);
}

void Wakeup::drain() const {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = read(fd_, &count, sizeof count);
}

}  // namespace ipf
