#include "launcher/signal_watch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <poll.h>

namespace ipf {

namespace {

sigset_t current_mask() {
  sigset_t mask;
  sigemptyset(&mask);
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  return mask;
}

}  // namespace

SignalWatch::SignalWatch(std::initializer_list<int> signals)
    : old_mask_(current_mask()), fd_((block_signals(signals), signals)) {}

SignalWatch::~SignalWatch() {
  take_all();
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

std::vector<int> SignalWatch::wait(Duration timeout, int also_readable) {
  const auto nanoseconds = std::max(timeout, Duration{0}).count();
  const timespec limit{.tv_sec = nanoseconds / 1'000'000'000,
                       .tv_nsec = nanoseconds % 1'000'000'000};
  std::array<pollfd, 2> watched{pollfd{.fd = fd_.fd(), .events = POLLIN, .revents = 0},
                                pollfd{.fd = also_readable, .events = POLLIN, .revents = 0}};
  if (ppoll(watched.data(), watched.size(), &limit, nullptr) <= 0) {
    return {};
  }
  return take_all();
}

std::vector<int> SignalWatch::take_all() {
  std::vector<int> out;
  while (const int number = fd_.take()) {
    out.push_back(number);
  }
  return out;
}

}  // namespace ipf
