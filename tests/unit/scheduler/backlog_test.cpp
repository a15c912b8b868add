#include "scheduler/backlog.hpp"

#include <gtest/gtest.h>

namespace ipf {
namespace {

using Changes = std::vector<Backlog::Change>;

TEST(Backlog, AClientThatHasTooMuchWaitsUntilATenthIsGone) {
  Backlog backlog({.spill_above = 10'000, .client_max = 1000, .all_max = 10'000});
  backlog.add("a", 999);
  backlog.add("b", 500);
  EXPECT_EQ(backlog.take_changes(), Changes{});
  backlog.add("a", 1);
  EXPECT_EQ(backlog.take_changes(), (Changes{{.client = "a", .stop = true}}));
  backlog.add("a", 100);
  EXPECT_EQ(backlog.take_changes(), Changes{}) << "told once";
  backlog.remove("a", 150);
  EXPECT_EQ(backlog.take_changes(), Changes{});
  backlog.remove("a", 100);
  EXPECT_EQ(backlog.take_changes(), (Changes{{.client = "a", .stop = false}}));
  backlog.check_invariants();
}

TEST(Backlog, AllWaitWhenAllTogetherHaveTooMuch) {
  Backlog backlog({.spill_above = 100, .client_max = 10'000, .all_max = 1000});
  backlog.add("a", 600);
  EXPECT_TRUE(backlog.spills());
  EXPECT_FALSE(backlog.full());
  backlog.add("b", 400);
  EXPECT_TRUE(backlog.full());
  backlog.remove("a", 50);
  EXPECT_TRUE(backlog.full());
  backlog.remove("a", 100);
  EXPECT_FALSE(backlog.full());
  backlog.remove("a", 450);
  backlog.remove("b", 400);
  EXPECT_FALSE(backlog.spills());
  EXPECT_EQ(backlog.all(), 0U);
  backlog.check_invariants();
}

TEST(Backlog, MoreIsNeverTakenAwayThanThereIs) {
  Backlog backlog({});
  backlog.add("a", 10);
  backlog.remove("a", 20);
  backlog.remove("nobody", 5);
  EXPECT_EQ(backlog.all(), 0U);
  backlog.check_invariants();
}

}  // namespace
}  // namespace ipf
