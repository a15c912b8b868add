#include "core/process_info.hpp"

#include <csignal>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace ipf {
namespace {

/// A child that waits until it is killed.
class SleepingChild {
 public:
  SleepingChild() : pid_(fork()) {
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true) {
        pause();
      }
    }
  }
  SleepingChild(const SleepingChild&) = delete;
  SleepingChild& operator=(const SleepingChild&) = delete;
  ~SleepingChild() {
    kill(pid_, SIGKILL);
    reap();
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Dead, but its parent has not asked for its status.
  void become_zombie() const {
    kill(pid_, SIGKILL);
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void reap() const { waitpid(pid_, nullptr, 0); }

 private:
  pid_t pid_;
};

TEST(ProcessInfo, ThisProcessRunsAndKeepsItsStart) {
  const auto start = process_start_ticks(getpid());
  EXPECT_GT(start, 0U);
  EXPECT_EQ(process_start_ticks(getpid()), start);
  EXPECT_TRUE(process_alive(getpid()));
  EXPECT_TRUE(process_alive(getpid(), start));
}

TEST(ProcessInfo, APidWithAnotherStartIsAnotherProcess) {
  EXPECT_FALSE(process_alive(getpid(), process_start_ticks(getpid()) + 1));
}

TEST(ProcessInfo, AParentStartedBeforeItsChild) {
  const SleepingChild child;
  EXPECT_GE(process_start_ticks(child.pid()), process_start_ticks(getpid()));
  EXPECT_GE(process_start_ticks(getpid()), process_start_ticks(1));
}

TEST(ProcessInfo, AZombieIsNotAlive) {
  const SleepingChild child;
  const auto start = process_start_ticks(child.pid());
  EXPECT_TRUE(process_alive(child.pid(), start));
  child.become_zombie();
  EXPECT_EQ(process_start_ticks(child.pid()), 0U);
  EXPECT_FALSE(process_alive(child.pid()));
  EXPECT_FALSE(process_alive(child.pid(), start));
  child.reap();
  EXPECT_FALSE(process_alive(child.pid(), start));
}

TEST(ProcessInfo, NumbersThatAreNoPidAreNotAlive) {
  EXPECT_FALSE(process_alive(0));
  EXPECT_FALSE(process_alive(-1));
  EXPECT_FALSE(process_alive(99'999'999));
}

TEST(ProcessInfo, ANameWithBlanksAndParenthesesConfusesNothing) {
  const auto start = process_start_ticks(getpid());
  char before[16] = {};  // NOLINT(modernize-avoid-c-arrays): what the system call takes
  prctl(PR_GET_NAME, before);
  prctl(PR_SET_NAME, "a) Z 1 (2) b");
  EXPECT_EQ(process_start_ticks(getpid()), start);
  prctl(PR_SET_NAME, before);
}

}  // namespace
}  // namespace ipf
