#pragma once

#include <initializer_list>

#include "core/clock.hpp"

namespace ipf {

/// Blocks these signals for this thread and all it starts, so that a SignalFd gets them.
void block_signals(std::initializer_list<int> signals);

/// A signalfd; read it from a poll loop. The signals must be blocked before.
class SignalFd {
 public:
  explicit SignalFd(std::initializer_list<int> signals);
  SignalFd(const SignalFd&) = delete;
  SignalFd& operator=(const SignalFd&) = delete;
  ~SignalFd();
  [[nodiscard]] int fd() const { return fd_; }
  /// The number of a pending signal, or 0.
  [[nodiscard]] int take() const;

 private:
  int fd_;
};

}  // namespace ipf
