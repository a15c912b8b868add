#include "net/io_loop.hpp"

#include <algorithm>
#include <unistd.h>

#include "core/check.hpp"
#include "net/poll_timeout.hpp"

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
  ready_count_ = std::max(0, epoll_wait(epoll_, ready_.data(), static_cast<int>(ready_.size()),
                                        poll_timeout_ms(now, deadline)));
  for (int i = 0; i < ready_count_; ++i) {
    const auto& event = ready_[static_cast<std::size_t>(i)];
    if (event.data.ptr != nullptr) {
      static_cast<IoHandler*>(event.data.ptr)->on_io(event.events);
    }
  }
  ready_count_ = 0;
}

}  // namespace ipf
