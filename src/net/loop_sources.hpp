#pragma once

#include <utility>

#include "net/io_loop.hpp"
#include "net/socket.hpp"
#include "net/wakeup.hpp"

namespace ipf {

/// A Wakeup in an IoLoop: any thread may signal(), the loop's thread asks take().
class LoopWakeup final : private IoHandler {
 public:
  explicit LoopWakeup(IoLoop& loop) : loop_(loop) { loop_.add(wakeup_.fd(), EPOLLIN, *this); }
  ~LoopWakeup() override { loop_.remove(wakeup_.fd(), *this); }
  void signal() const { wakeup_.signal(); }
  /// True once for the signals since it was asked last.
  bool take() { return std::exchange(woken_, false); }

 private:
  void on_io(std::uint32_t /*events*/) override {
    wakeup_.drain();
    woken_ = true;
  }

  IoLoop& loop_;
  Wakeup wakeup_;
  bool woken_{false};
};

/// A libzmq socket in an IoLoop. Its file descriptor tells only that something may have happened,
/// and calls on the socket may consume that; so ask pending() before each wait, and do not wait
/// while it is true.
class LoopSocket final : private IoHandler {
 public:
  LoopSocket(IoLoop& loop, Socket& socket) : loop_(loop), socket_(socket) {
    loop_.add(socket_.event_fd(), EPOLLIN, *this);
  }
  ~LoopSocket() override { loop_.remove(socket_.event_fd(), *this); }
  [[nodiscard]] bool pending() const { return socket_.readable(); }

 private:
  void on_io(std::uint32_t /*events*/) override {}

  IoLoop& loop_;
  Socket& socket_;
};

}  // namespace ipf
