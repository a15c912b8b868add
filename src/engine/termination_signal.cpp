#include "engine/termination_signal.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <unistd.h>

namespace ipf::engine {

namespace {

// A signal handler has no other way to know them; written once.
std::atomic<Wakeup*> target{nullptr};
std::atomic<pid_t> owner{0};

extern "C" void on_termination(int number) {
  const int saved_errno = errno;
  if (getpid() == owner.load()) {
    target.load()->signal();
  } else {
    // A forked child of user code has inherited the handler.
    std::signal(number, SIG_DFL);
    raise(number);
  }
  errno = saved_errno;
}

}  // namespace

void redirect_termination(Wakeup& wakeup) {
  target.store(&wakeup);
  owner.store(getpid());
  for (const int number : {SIGTERM, SIGHUP}) {
    struct sigaction before{};
    if (sigaction(number, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) {
      continue;
    }
    struct sigaction action{};
    action.sa_handler = on_termination;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    sigaction(number, &action, nullptr);
  }
}

void ignore_termination() {
  for (const int number : {SIGTERM, SIGHUP}) {
    std::signal(number, SIG_IGN);
  }
}

}  // namespace ipf::engine
