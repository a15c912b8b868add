#pragma once

#include <cstdint>
#include <optional>
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

/// Any readable file descriptor in an IoLoop; its owner keeps it open.
class LoopFd final : private IoHandler {
 public:
  LoopFd(IoLoop& loop, int fd) : loop_(loop), fd_(fd) { loop_.add(fd_, EPOLLIN, *this); }
  ~LoopFd() override { loop_.remove(fd_, *this); }
  /// True once for each wait in which it was readable, or broken.
  bool take() { return std::exchange(ready_, false); }

 private:
  void on_io(std::uint32_t /*events*/) override { ready_ = true; }

  IoLoop& loop_;
  int fd_;
  bool ready_{false};
};

/// A libzmq socket in an IoLoop that is seldom sent on. It is asked only when its file descriptor
/// told that something happened: asking in vain costs a system call. Call touched() after sending,
/// which may have taken notice of what arrived.
class LoopReceiver {
 public:
  LoopReceiver(IoLoop& loop, Socket& socket) : socket_(socket), source_(loop, socket.event_fd()) {}
  std::optional<Frames> receive() {
    more_ = source_.take() || more_;
    std::optional<Frames> frames = more_ ? socket_.receive() : std::nullopt;
    more_ = frames.has_value();
    return frames;
  }
  /// receive() may give something that no wait of the loop tells of.
  [[nodiscard]] bool pending() const { return more_; }
  void touched() { more_ = true; }

 private:
  Socket& socket_;
  LoopFd source_;
  bool more_{true};
};

}  // namespace ipf
