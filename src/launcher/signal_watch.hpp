#pragma once

#include <csignal>
#include <initializer_list>
#include <vector>

#include "core/clock.hpp"
#include "net/signals.hpp"

namespace ipf {

/// Signals as something to wait for, in one scope: blocked for this thread while the object lives.
/// Threads that start meanwhile inherit the block, children started by Process do not. The
/// destructor drops what has not been read and restores the old mask.
class SignalWatch {
 public:
  explicit SignalWatch(std::initializer_list<int> signals);
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  ~SignalWatch();

  /// Waits at most `timeout` for the first signal and returns all that have arrived (equal ones
  /// may be merged). `also_readable`, if not -1, ends the wait as well.
  std::vector<int> wait(Duration timeout, int also_readable = -1);

 private:
  std::vector<int> take_all();

  sigset_t old_mask_;
  SignalFd fd_;
};

}  // namespace ipf
