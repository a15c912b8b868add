#include "net/io_loop.hpp"

#include <algorithm>
#include <unistd.h>

#include "core/check.hpp"

namespace ipf {

IoLoop::IoLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  IPF_CHECK(epoll_ >= 0);
}

IoLoop::~IoLoop() {
  close(epoll_);
}

void IoLoop::add(int fd, std::uint32_t events, IoHandler& handler) const {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  IPF_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
}

void IoLoop::change(int fd, std::uint32_t events, IoHandler& handler) const {
  epoll_event event{.events = events, .data = {.ptr = &handler}};
  IPF_CHECK(epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event) == 0);
}

void IoLoop::remove(int fd, const IoHandler& handler) {
  epoll_event unused{};
  IPF_CHECK(epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, &unused) == 0);
  for (int i = 0; i < ready_count_; ++i) {
    auto& event = ready_[static_cast<std::size_t>(i)];
    if (event.data.ptr == &handler) {
      event.data.ptr = nullptr;
    }
  }
}

void IoLoop::wait(TimePoint now, TimePoint deadline) {
  constexpr std::int64_t nanoseconds_per_ms = 1'000'000;
  constexpr std::int64_t longest_ms = 3'600'000;
  std::int64_t timeout_ms = -1;
  if (deadline != TimePoint::never()) {
    // Rounded up: waking early would spin until the deadline.
    const std::int64_t left = std::max<std::int64_t>(0, (deadline - now).count());
    timeout_ms = std::min((left + nanoseconds_per_ms - 1) / nanoseconds_per_ms, longest_ms);
  }
  ready_count_ = std::max(0, epoll_wait(epoll_, ready_.data(), static_cast<int>(ready_.size()),
                                        static_cast<int>(timeout_ms)));
  for (int i = 0; i < ready_count_; ++i) {
    const auto& event = ready_[static_cast<std::size_t>(i)];
    if (event.data.ptr != nullptr) {
      static_cast<IoHandler*>(event.data.ptr)->on_io(event.events);
    }
  }
  ready_count_ = 0;
}

}  // namespace ipf
