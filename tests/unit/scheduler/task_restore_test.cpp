// What the task machine does with what an earlier controller's journal says.
#include <gtest/gtest.h>

#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

using test::Lines;
using test::TestTasks;

TEST(TaskRestore, ATaskIsSentAgainToTheEngineThatHadIt) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  EXPECT_EQ(tasks.restore("t", "a"), Lines{"send t to a"});
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST(TaskRestore, ATaskThatWaitedIsPlaced) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.restore("t", ""), Lines{"send t to a"});
}

TEST(TaskRestore, ATaskWhoseEngineIsGoneFails) {
  TestTasks tasks;
  tasks.join("b");
  EXPECT_EQ(tasks.restore("t", "a").back(), "fail t of a: EngineError");
  EXPECT_EQ(tasks.machine().task_count(), 0U);
}

TEST(TaskRestore, WithRetriesItGoesToAnotherEngine) {
  TestTasks tasks;
  tasks.join("b");
  EXPECT_EQ(tasks.restore("t", "a", {.retries = 1}), Lines{"send t to b"});
}

TEST(TaskRestore, OthersMayDependOnWhatWasAnswered) {
  TestTasks tasks;
  tasks.join("a");
  tasks.step(OutcomeRestored{.msg_id = "old", .engine_uuid = "a", .succeeded = true});
  EXPECT_EQ(tasks.submit("t", {.after = {.msg_ids = {"old"}}}), Lines{"send t to a"});
  tasks.step(OutcomeRestored{.msg_id = "bad", .engine_uuid = "a", .succeeded = false});
  EXPECT_EQ(tasks.submit("u", {.after = {.msg_ids = {"bad"}}}).back(),
            "fail u: ImpossibleDependency");
}

TEST(TaskRestore, AChainIsRestoredInOrder) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.restore("first", "a"), Lines{"send first to a"});
  EXPECT_EQ(tasks.restore("second", "", {.after = {.msg_ids = {"first"}}}), Lines{"note second"});
  EXPECT_EQ(tasks.succeed("first", "a"),
            (Lines{"forward first from a: good", "assign second to a"}));
}

TEST(TaskRestore, WhatWasAnsweredDoesNotRunAgain) {
  TestTasks tasks;
  tasks.join("a");
  tasks.step(OutcomeRestored{.msg_id = "t", .engine_uuid = "a", .succeeded = true});
  EXPECT_EQ(tasks.submit("t"), Lines{"answer t again"});
}

}  // namespace
}  // namespace ipf
