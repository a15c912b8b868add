#include "net/signals.hpp"

#include <csignal>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/check.hpp"

namespace ipf {

namespace {

sigset_t set_of(std::initializer_list<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : signals) {
    sigaddset(&set, signal);
  }
  return set;
}

}  // namespace

void block_signals(std::initializer_list<int> signals) {
  const sigset_t set = set_of(signals);
  IPF_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
}

SignalFd::SignalFd(std::initializer_list<int> signals) {
  const sigset_t set = set_of(signals);
  fd_ = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  IPF_CHECK(fd_ >= 0);
}

SignalFd::~SignalFd() {
  close(fd_);
}

int SignalFd::take() const {
  signalfd_siginfo info{};
  return read(fd_, &info, sizeof info) == sizeof info ? static_cast<int>(info.ssi_signo) : 0;
}

}  // namespace ipf
