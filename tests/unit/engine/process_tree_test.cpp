#include "engine/process_tree.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

/// A child with a child of its own; both wait to be killed.
class ProcessTreeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const pid_t own = fork();
      if (own == 0) {
        close(ends[1]);
        pause();
        _exit(0);
      }
      if (write(ends[1], &own, sizeof own) != sizeof own) {
        _exit(1);
      }
      waitpid(own, nullptr, 0);
      pause();
      _exit(0);
    }
    close(ends[1]);
    ASSERT_EQ(read(ends[0], &grandchild, sizeof grandchild), ssize_t{sizeof grandchild});
    close(ends[0]);
  }
  void TearDown() override {
    for (const pid_t pid : {grandchild, child}) {
      if (pid > 0) {
        kill(pid, SIGKILL);
      }
    }
    if (child > 0) {
      waitpid(child, nullptr, 0);
    }
  }
  static bool contains(const std::vector<pid_t>& all, pid_t one) {
    return std::ranges::find(all, one) != all.end();
  }

  pid_t child{-1};
  pid_t grandchild{-1};
};

TEST_F(ProcessTreeTest, HoldsAllThatAProcessHasStarted) {
  EXPECT_EQ(process_tree(child), (std::vector<pid_t>{child, grandchild}));
  const auto mine = process_tree(getpid());
  EXPECT_TRUE(contains(mine, getpid()) && contains(mine, child) && contains(mine, grandchild));
}

TEST_F(ProcessTreeTest, SharedMemoryCountsOnceOnlyInProportion) {
  const std::vector<pid_t> both{child, grandchild};
  EXPECT_GT(proportional_bytes(both), 0U);
  EXPECT_LT(proportional_bytes(both), resident_bytes(both)) << "they share nearly all they have";
}

TEST_F(ProcessTreeTest, KillsWhatAProcessHasStartedButNotItself) {
  kill_descendants(child);
  // The child reaps its own child, which is gone from the tree then.
  while (contains(process_tree(child), grandchild)) {
    usleep(1000);
  }
  EXPECT_EQ(kill(child, 0), 0);
  EXPECT_EQ(process_tree(child), std::vector<pid_t>{child});
}

TEST_F(ProcessTreeTest, AProcessThatIsGoneHasNone) {
  kill(grandchild, SIGKILL);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(process_tree(child).empty());
  EXPECT_EQ(resident_bytes({child}), 0U);
  EXPECT_EQ(proportional_bytes({child}), 0U);
  child = -1;
}

}  // namespace
}  // namespace ipf::engine
