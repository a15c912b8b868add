// What the task machine does with what an earlier controller's journal says.
#include <variant>
#include <vector>

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
  EXPECT_EQ(tasks.restore("t", ""), (Lines{"note t", "assign t to a"}));
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

/// The order of submission says nothing about who is on the engine.
TEST(TaskRestore, AWaitingTaskDoesNotTakeTheSlotOfOneThatRuns) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.restore({TestTasks::restored("waits", ""), TestTasks::restored("runs", "a")}),
            (Lines{"note waits", "send runs to a"}));
  EXPECT_EQ(tasks.succeed("runs", "a"), (Lines{"forward runs from a: good", "assign waits to a"}));
}

TEST(TaskRestore, AnEngineGetsItsTasksInTheOrderInWhichItHadThem) {
  TestTasks tasks({.hwm = 2});
  tasks.join("a");
  EXPECT_EQ(tasks.restore({TestTasks::restored("second", "a", {}, 8),
                           TestTasks::restored("first", "a", {}, 5)}),
            (Lines{"send first to a", "send second to a"}));
}

/// It left with the first one, came back within the grace and got another.
TEST(TaskRestore, AnEngineThatHadMoreThanItsLimitHasTheLastOnes) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.restore(
                {TestTasks::restored("lost", "a", {}, 1), TestTasks::restored("has", "a", {}, 2)}),
            (Lines{"note lost", "fail lost of a: EngineError", "send has to a"}));
}

TEST(TaskRestore, AnEngineThatIsNotTrustedYetGetsItsOwnTaskAndNoOther) {
  TestTasks tasks({.hwm = 2});
  tasks.join("a");
  tasks.suspect("a");
  EXPECT_EQ(tasks.restore({TestTasks::restored("other", ""), TestTasks::restored("own", "a")}),
            (Lines{"note other", "send own to a"}));
  EXPECT_EQ(tasks.trust("a"), Lines{"assign other to a"});
}

/// Else it would be given to another engine while its own comes back a little later.
TEST(TaskRestore, ItWaitsForItsEngineAsLongAsTheHubDoes) {
  TestTasks tasks;
  tasks.join("a");
  const auto again = tasks.step(TasksRestored{.tasks = {TestTasks::restored("t", "a")}});
  EXPECT_TRUE(std::get<SendTask>(again.at(0)).restored);
  const auto fresh = tasks.submit_for_actions("u", {});
  tasks.succeed("t", "a");
  EXPECT_TRUE(fresh.size() == 1 && std::holds_alternative<NoteSubmission>(fresh[0]));
}

/// Nobody saw whether the engine began with it: what might have run is not run again.
TEST(TaskRestore, AnEngineThatFreezesLaterKeepsWhatItHadBeforeTheRestart) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.restore("t", "a");
  EXPECT_EQ(tasks.freeze("a"), Lines{});
  EXPECT_EQ(tasks.wait(100), Lines{"fail t of a: EngineError"});
}

TEST(TaskRestore, WhatATaskHasBehindItIsToldAndTakenUpAgain) {
  TaskProgress told;
  {
    TestTasks tasks;
    tasks.join("a");
    tasks.submit("t", {.retries = 2});
    const auto actions = tasks.step(TaskReplied{.msg_id = "t",
                                                .engine_uuid = "a",
                                                .succeeded = false,
                                                .reply = test::reply_message("a", "bad")});
    ASSERT_TRUE(std::holds_alternative<NoteReturn>(actions.at(0)));
    told = std::get<NoteReturn>(actions[0]).progress;
    EXPECT_EQ(told.retries_left, 1);
    EXPECT_EQ(told.excluded.size(), 1U);
  }
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  auto task = TestTasks::restored("t", "b", {.retries = 2});
  task.progress = told;
  tasks.restore({task});
  tasks.leave("b");
  EXPECT_EQ(tasks.wait(100), Lines{}) << "the last retry: it waits for an engine that is not a";
  tasks.join("c");
  EXPECT_EQ(tasks.error("t", "c"), Lines{"forward t from c: bad"}) << "no retry is left";
}

TEST(TaskRestore, OutcomesOutliveTheJournalsRecords) {
  std::vector<RememberedOutcome> remembered;
  {
    TestTasks tasks;
    tasks.join("a");
    tasks.submit("good");
    tasks.succeed("good", "a");
    tasks.submit("bad");
    tasks.error("bad", "a");
    remembered = tasks.machine().remembered();
  }
  TestTasks tasks;
  tasks.join("b");
  tasks.join("a");
  tasks.step(OutcomesRestored{.outcomes = remembered});
  EXPECT_EQ(tasks.submit("t", {.follow = {.msg_ids = {"good"}}}), Lines{"send t to a"});
  EXPECT_EQ(tasks.submit("u", {.after = {.msg_ids = {"bad"}}}).back(),
            "fail u: ImpossibleDependency");
}

/// One of two was enough; whatever is remembered of the other.
TEST(TaskRestore, ATaskThatWasHandedOverHasItsDependenciesMet) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.restore("t", "a", {.after = {.msg_ids = {"forgotten"}}}), Lines{"send t to a"});
}

TEST(TaskRestore, DependentsOfATaskThatWasLostFailWithIt) {
  TestTasks tasks;
  tasks.join("b");
  const auto told =
      tasks.restore({TestTasks::restored("lost", "a"),
                     TestTasks::restored("next", "", {.after = {.msg_ids = {"lost"}}})});
  EXPECT_EQ(told, (Lines{"note next", "note lost", "fail lost of a: EngineError",
                         "fail next: ImpossibleDependency"}));
}

}  // namespace
}  // namespace ipf
