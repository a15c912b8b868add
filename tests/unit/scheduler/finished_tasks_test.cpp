#include "scheduler/finished_tasks.hpp"

#include <deque>
#include <map>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

TEST(FinishedTasks, RemembersOutcomeAndEngine) {
  FinishedTasks tasks(10);
  EXPECT_FALSE(tasks.find(7));
  tasks.add(7, {.succeeded = true, .engine = 42});
  tasks.add(9, {.succeeded = false, .engine = 0});
  ASSERT_TRUE(tasks.find(7));
  EXPECT_TRUE(tasks.find(7)->succeeded);
  EXPECT_EQ(tasks.find(7)->engine, 42U);
  EXPECT_FALSE(tasks.find(9)->succeeded);
  EXPECT_EQ(tasks.find(9)->engine, 0U);
}

TEST(FinishedTasks, WithoutALimitOfAtLeastOneNothingIsRemembered) {
  FinishedTasks tasks(0);
  tasks.add(7, {.succeeded = true, .engine = 42});
  EXPECT_FALSE(tasks.find(7));
}

/// Keys that fall on few places of the index, so that runs of probing meet and wrap round.
TEST(FinishedTasks, AgreesWithASimpleModel) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  constexpr std::size_t limit = 1500;
  FinishedTasks tasks(limit);
  std::map<TaskKey, bool> model;
  std::deque<TaskKey> order;
  for (int i = 0; i < 40'000; ++i) {
    const TaskKey key = (rng.below(700) << 40U) | (4090 + rng.below(12));
    const bool succeeded = rng.below(2) == 0;
    tasks.add(key, {.succeeded = succeeded, .engine = 2 * key});
    if (model.insert_or_assign(key, succeeded).second) {
      order.push_back(key);
      if (order.size() > limit) {
        model.erase(order.front());
        order.pop_front();
      }
    }
    const TaskKey asked = (rng.below(700) << 40U) | (4090 + rng.below(12));
    const auto found = tasks.find(asked);
    ASSERT_EQ(found.has_value(), model.contains(asked));
    if (found) {
      ASSERT_EQ(found->succeeded, model.at(asked));
      ASSERT_EQ(found->engine, 2 * asked);
    }
  }
  EXPECT_EQ(tasks.size(), limit);
}

}  // namespace
}  // namespace ipf
