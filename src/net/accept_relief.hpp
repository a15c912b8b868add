#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"

namespace ipf {

class Socket;

/// Refuses new connections to libzmq's sockets while this process has no file descriptor left.
/// Libzmq cannot: what it cannot accept stays in the queue, and its IO thread asks for it again and
/// again at full speed, at the cost of those who are connected.
///
/// How to take a connection without a descriptor: a thread gets a table of descriptors of its own
/// (close_range with CLOSE_RANGE_UNSHARE), which has room, accepts there and closes. Who is refused
/// sees a reset and tries again, as ZeroMQ does by itself. Where the kernel does not allow that
/// (before 5.9, and no unshare), nothing is done.
///
/// One thread: polls fd() and next_deadline(), then calls look(). The sockets are bound before
/// watch() and outlive the last look().
class AcceptRelief {
 public:
  explicit AcceptRelief(Log& log);
  AcceptRelief(const AcceptRelief&) = delete;
  AcceptRelief& operator=(const AcceptRelief&) = delete;
  ~AcceptRelief();

  void watch(const Socket& socket);
  /// Readable when there may be something to do.
  [[nodiscard]] int fd() const { return epoll_; }
  [[nodiscard]] TimePoint next_deadline() const { return look_at_; }
  void look(TimePoint now);
  [[nodiscard]] std::uint64_t refused_count() const { return refused_; }

 private:
  void start_refusing();

  Log& log_;
  int epoll_;
  std::vector<int> listening_;
  TimePoint look_at_{TimePoint::never()};
  TimePoint quiet_until_{};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<bool> refusing_{false};
  std::jthread thread_;
};

}  // namespace ipf
