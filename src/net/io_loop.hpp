#pragma once

#include <array>
#include <cstdint>
#include <sys/epoll.h>
#include <vector>

#include "core/clock.hpp"

namespace ipf {

/// Something with file descriptors in an IoLoop.
class IoHandler {
 public:
  IoHandler() = default;
  IoHandler(const IoHandler&) = delete;
  IoHandler& operator=(const IoHandler&) = delete;
  virtual ~IoHandler() = default;
  /// `events` as epoll reports them.
  virtual void on_io(std::uint32_t events) = 0;
};

/// Waits for file descriptors with epoll and calls their handlers; one thread.
///
/// A handler may remove itself or any other while it is called: the removed one gets no further
/// call, not even for an event that was reported in the same wait. Its memory must live until the
/// next wait; discard() helps with that.
class IoLoop {
 public:
  IoLoop();
  IoLoop(const IoLoop&) = delete;
  IoLoop& operator=(const IoLoop&) = delete;
  ~IoLoop();

  void add(int fd, std::uint32_t events, IoHandler& handler) const;
  void change(int fd, std::uint32_t events, IoHandler& handler) const;
  void remove(int fd, const IoHandler& handler);

  /// Returns after the handlers of what was ready were called, or at `deadline`.
  void wait(TimePoint now, TimePoint deadline);

 private:
  int epoll_;
  std::array<epoll_event, 128> ready_{};
  int ready_count_{0};
};

}  // namespace ipf
