// What goes beyond ipyparallel: order, resources, run limits, frozen and poisoned, explanations.
#include <algorithm>
#include <csignal>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/task_machine.hpp"
#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

using test::all_of;
using test::Lines;
using test::ms;
using test::TestTasks;

std::string failure_text(const TaskActions& actions) {
  for (const auto& action : actions) {
    if (const auto* fail = std::get_if<FailTask>(&action)) {
      return fail->failure.ename + ": " + fail->failure.evalue;
    }
  }
  return "nothing failed";
}

// ---- priority and fair share --------------------------------------------------------------------

TEST(TaskPriority, AnUrgentTaskOvertakesAFlood) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("running");
  for (int i = 0; i < 1000; ++i) {
    tasks.submit("t" + std::to_string(i), {.priority = -1});
  }
  tasks.submit("urgent", {.priority = 5});
  tasks.submit("usual");
  EXPECT_EQ(tasks.succeed("running", "a").back(), "assign urgent to a");
  EXPECT_EQ(tasks.succeed("urgent", "a").back(), "assign usual to a");
  EXPECT_EQ(tasks.succeed("usual", "a").back(), "assign t0 to a");
}

TEST(TaskPriority, CountsForTasksWithTargetsToo) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("running");
  tasks.submit("general");
  tasks.submit("own", {.targets = {"a"}, .priority = 1});
  tasks.submit("low", {.targets = {"a"}, .priority = -1});
  EXPECT_EQ(tasks.succeed("running", "a").back(), "assign own to a");
  EXPECT_EQ(tasks.succeed("own", "a").back(), "assign general to a");
  EXPECT_EQ(tasks.succeed("general", "a").back(), "assign low to a");
}

TEST(TaskPriority, CountsForTasksThatWereBlocked) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("running");
  tasks.submit("usual");
  tasks.submit("urgent", {.after = all_of({"running"}), .priority = 1});
  tasks.submit("low", {.after = all_of({"running"}), .priority = -1});
  EXPECT_EQ(tasks.succeed("running", "a").back(), "assign urgent to a");
  EXPECT_EQ(tasks.succeed("urgent", "a").back(), "assign usual to a");
}

TEST(TaskFairShare, ClientsTakeTurnsWhateverTheyQueued) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("running", {.client = 1});
  for (const std::string id : {"x1", "x2", "x3", "x4"}) {
    tasks.submit(id, {.client = 1});
  }
  tasks.submit("y1", {.client = 2});
  tasks.submit("y2", {.client = 2});
  std::string order;
  std::string now = "running";
  for (int i = 0; i < 6; ++i) {
    const auto out = tasks.succeed(now, "a");
    now = out.back().substr(7, 2);
    order += now + " ";
  }
  EXPECT_EQ(order, "x1 y1 x2 y2 x3 x4 ");
}

TEST(TaskFairShare, HoldsBetweenTasksWithTargetsAndOthers) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("running", {.client = 1});
  for (const std::string id : {"x1", "x2", "x3"}) {
    tasks.submit(id, {.client = 1});
  }
  tasks.submit("y1", {.targets = {"a"}, .client = 2});
  EXPECT_EQ(tasks.succeed("running", "a").back(), "assign x1 to a");
  EXPECT_EQ(tasks.succeed("x1", "a").back(), "assign y1 to a");
}

// ---- resources ----------------------------------------------------------------------------------

TEST(TaskResources, TheSumOnAnEngineNeverExceedsItsCapacity) {
  TestTasks tasks({.hwm = 4});
  tasks.join("a", {{"gpu", 2}});
  tasks.join("plain");
  EXPECT_EQ(tasks.submit("g1", {.resources = {{"gpu", 1}}}), Lines{"send g1 to a"});
  EXPECT_EQ(tasks.submit("g2", {.resources = {{"gpu", 1}}}), Lines{"send g2 to a"});
  EXPECT_EQ(tasks.submit("g3", {.resources = {{"gpu", 1}}}), Lines{"note g3"});
  EXPECT_EQ(tasks.submit("c1", {.targets = {"a"}}), Lines{"send c1 to a"}) << "needs no GPU";
  EXPECT_EQ(tasks.succeed("g1", "a"), (Lines{"forward g1 from a: good", "assign g3 to a"}));
}

TEST(TaskResources, ALargeTaskIsNotStarvedBySmallOnes) {
  TestTasks tasks({.hwm = 4});
  tasks.join("a", {{"gpu", 2}});
  tasks.submit("s1", {.resources = {{"gpu", 1}}});
  tasks.submit("s2", {.resources = {{"gpu", 1}}});
  EXPECT_EQ(tasks.submit("large", {.resources = {{"gpu", 2}}}), Lines{"note large"});
  EXPECT_EQ(tasks.submit("s3", {.resources = {{"gpu", 1}}}), Lines{"note s3"});
  EXPECT_EQ(tasks.succeed("s1", "a"), Lines{"forward s1 from a: good"}) << "kept for large";
  EXPECT_EQ(tasks.submit("s4", {.resources = {{"gpu", 1}}}), Lines{"note s4"});
  EXPECT_EQ(tasks.submit("urgent", {.priority = 1, .resources = {{"gpu", 1}}}),
            Lines{"send urgent to a"});
  tasks.succeed("s2", "a");
  EXPECT_EQ(tasks.succeed("urgent", "a").back(), "assign large to a");
}

TEST(TaskResources, OthersGoOnWhenTheLargeTaskIsGone) {
  TestTasks tasks({.hwm = 4});
  tasks.join("a", {{"gpu", 2}});
  tasks.submit("s1", {.resources = {{"gpu", 1}}});
  tasks.submit("large", {.timeout_ms = 10, .resources = {{"gpu", 2}}});
  EXPECT_EQ(tasks.submit("s2", {.resources = {{"gpu", 1}}}), Lines{"note s2"});
  EXPECT_EQ(tasks.wait(10), (Lines{"fail large: TaskTimeout", "assign s2 to a"}));
}

TEST(TaskResources, OthersGoOnWhenTheLargeTaskFoundAnotherEngine) {
  TestTasks tasks({.hwm = 4});
  tasks.join("a", {{"gpu", 2}});
  tasks.submit("s1", {.resources = {{"gpu", 1}}});
  tasks.submit("large", {.resources = {{"gpu", 2}}});
  tasks.submit("s2", {.resources = {{"gpu", 1}}});
  EXPECT_EQ(tasks.join("b", {{"gpu", 2}}), (Lines{"assign large to b", "assign s2 to a"}));
}

TEST(TaskResources, ATaskThatNobodyCanHoldWaitsForAnEngineThatCan) {
  TestTasks tasks;
  tasks.join("a", {{"gpu", 2}});
  tasks.join("b");
  EXPECT_EQ(tasks.submit("big", {.resources = {{"gpu", 4}}}), Lines{"note big"});
  EXPECT_EQ(tasks.submit("small", {.resources = {{"gpu", 1}}}), Lines{"send small to a"});
  EXPECT_EQ(tasks.join("c", {{"gpu", 4}}), Lines{"assign big to c"});
}

TEST(TaskResources, AllNamedOnesAreNeeded) {
  TestTasks tasks({.hwm = 9});
  tasks.join("a", {{"gpu", 4}, {"mem", 16}});
  EXPECT_EQ(tasks.submit("t1", {.resources = {{"gpu", 1}, {"mem", 10.5}}}), Lines{"send t1 to a"});
  EXPECT_EQ(tasks.submit("t2", {.resources = {{"gpu", 1}, {"mem", 6}}}), Lines{"note t2"});
  EXPECT_EQ(tasks.succeed("t1", "a").back(), "assign t2 to a");
}

TEST(TaskResources, FractionsAddUp) {
  TestTasks tasks({.hwm = 0});
  tasks.join("a", {{"gpu", 1}});
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10; ++i) {
      const std::string id = "t" + std::to_string(10 * round + i);
      EXPECT_EQ(tasks.submit(id, {.resources = {{"gpu", 0.1}}}), Lines{"send " + id + " to a"});
    }
    const std::string more = "more" + std::to_string(round);
    EXPECT_EQ(tasks.submit(more, {.timeout_ms = 1, .resources = {{"gpu", 0.1}}}),
              Lines{"note " + more});
    tasks.wait(1);
    for (int i = 0; i < 10; ++i) {
      tasks.succeed("t" + std::to_string(10 * round + i), "a");
    }
  }
}

TEST(TaskResources, TargetsAndRetriesWorkWithThem) {
  TestTasks tasks;
  tasks.join("a", {{"gpu", 1}});
  tasks.join("b", {{"gpu", 1}});
  tasks.join("c");
  EXPECT_EQ(tasks.submit("t", {.targets = {"a", "c"}, .resources = {{"gpu", 1}}}),
            Lines{"send t to a"});
  EXPECT_EQ(tasks.submit("u", {.retries = 1, .resources = {{"gpu", 1}}}), Lines{"send u to b"});
  EXPECT_EQ(tasks.error("u", "b"), Lines{}) << "a is full, c has no GPU";
  EXPECT_EQ(tasks.succeed("t", "a").back(), "assign u to a");
}

TEST(TaskResources, TargetsThatCanNeverHoldTheTaskAreImpossible) {
  TestTasks tasks;
  tasks.join("small");
  tasks.join("large", {{"gpu", 1}});
  EXPECT_EQ(tasks.submit("t", {.targets = {"small"}, .resources = {{"gpu", 1}}}),
            (Lines{"note t", "fail t: ImpossibleDependency"}));
  EXPECT_EQ(tasks.submit("u", {.targets = {"large"}, .resources = {{"gpu", 1}}}),
            Lines{"send u to large"});
  EXPECT_EQ(tasks.submit("v", {.targets = {"small", "large"}, .resources = {{"gpu", 1}}}),
            Lines{"note v"});
  EXPECT_EQ(tasks.leave("large"), Lines{"fail v: ImpossibleDependency"});
}

TEST(TaskResources, TooManyDifferentOnesAreRefused) {
  TestTasks tasks({.resource_shapes_max = 2});
  tasks.submit("t1", {.resources = {{"gpu", 1}}});
  tasks.submit("t2", {.resources = {{"gpu", 2}}});
  EXPECT_EQ(tasks.submit("t3", {.resources = {{"gpu", 3}}}),
            (Lines{"note t3", "fail t3: ResourceError"}));
  EXPECT_EQ(tasks.submit("t4", {.resources = {{"gpu", 2}}}), Lines{"note t4"});
}

// ---- run limits ---------------------------------------------------------------------------------

class TaskRunLimit : public testing::Test {
 protected:
  static Lines signal(int number) { return {"signal " + std::to_string(number) + " for t to a"}; }
  TestTasks tasks{{.hwm = 2, .interrupt_grace = ms(2000), .interrupt_settle = ms(200)}};
};

TEST_F(TaskRunLimit, AfterItTheTaskIsInterruptedAndItsReplyBecomesATimeout) {
  tasks.join("a");
  tasks.submit("t", {.retries = 3, .run_timeout_ms = 500});
  EXPECT_EQ(tasks.wait(499), Lines{});
  EXPECT_EQ(tasks.wait(1), signal(SIGINT));
  const auto actions = tasks.step(TaskReplied{
      .msg_id = "t", .engine_uuid = "a", .reply = test::reply_message("a", "interrupted")});
  EXPECT_EQ(test::lines(actions), Lines{"fail t of a: TaskTimeout"});
  EXPECT_EQ(failure_text(actions), "TaskTimeout: ran longer than run_timeout=0.5s");
  EXPECT_EQ(tasks.machine().load_of("a"), 0U);
}

TEST_F(TaskRunLimit, ATaskThatDoesNotReactIsKilledAndAnsweredWhenItsEngineDies) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  tasks.wait(500);
  EXPECT_EQ(tasks.wait(1999), Lines{});
  EXPECT_EQ(tasks.wait(1), signal(SIGKILL));
  EXPECT_EQ(tasks.leave("a"), Lines{"fail t of a: TaskTimeout"});
}

TEST_F(TaskRunLimit, TheOtherTasksOfAKilledEngineMoveWithoutARetry) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  tasks.submit("innocent");
  tasks.wait(500);
  tasks.wait(2000);
  tasks.join("b");
  EXPECT_EQ(tasks.leave("a"), (Lines{"fail t of a: TaskTimeout", "assign innocent to b"}));
}

TEST_F(TaskRunLimit, IfNobodyCanKillItTheClientIsAnsweredAndTheSlotStaysTaken) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  tasks.wait(500);
  tasks.wait(2000);
  const auto out = tasks.wait(2000);
  EXPECT_EQ(out.back(), "fail t of a: TaskTimeout");
  EXPECT_EQ(tasks.machine().task_count(), 0U);
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
  EXPECT_EQ(tasks.submit("t"), Lines{"fail t: ValueError"});
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{}) << "it ended after all";
  EXPECT_EQ(tasks.machine().load_of("a"), 0U);
}

TEST_F(TaskRunLimit, ASuccessThatCrossedTheSignalKeepsTheSlotUntilTheSignalIsOver) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  tasks.wait(500);
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"fail t of a: TaskTimeout"});
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
  tasks.submit("u1");
  tasks.submit("u2");
  EXPECT_EQ(tasks.wait(200), Lines{"assign u2 to a"});
}

TEST_F(TaskRunLimit, TheClockStartsWhenTheTaskIsTheOldestOnItsEngine) {
  tasks.join("a");
  tasks.submit("before");
  tasks.submit("t", {.run_timeout_ms = 500});
  EXPECT_EQ(tasks.wait(10'000), Lines{});
  tasks.succeed("before", "a");
  EXPECT_EQ(tasks.wait(499), Lines{});
  EXPECT_EQ(tasks.wait(1), signal(SIGINT));
}

TEST_F(TaskRunLimit, TheClockStartsAgainWhenTheEngineIsSeenToBegin) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  tasks.wait(400);
  tasks.started("t", "b");
  tasks.started("t", "a");
  EXPECT_EQ(tasks.wait(499), Lines{});
  tasks.started("t", "a");
  EXPECT_EQ(tasks.wait(1), signal(SIGINT));
}

TEST_F(TaskRunLimit, ATaskInTimeIsLeftAlone) {
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 500});
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
  EXPECT_EQ(tasks.wait(10'000), Lines{});
}

// ---- frozen engines -----------------------------------------------------------------------------

std::string moved_line(const std::string& engine) {
  return "log: task::engine '" + engine +
         "' is silent: 1 tasks that it was not seen to begin go to others; what it runs of them "
         "all "
         "the same runs twice";
}

TEST(TaskFrozenEngine, ASuspectedEngineGetsNothingNew) {
  TestTasks tasks({.hwm = 2});
  tasks.join("a");
  tasks.join("b");
  EXPECT_EQ(tasks.suspect("b"), Lines{});
  EXPECT_EQ(tasks.submit("t1"), Lines{"send t1 to a"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"send t2 to a"});
  EXPECT_EQ(tasks.submit("t3"), Lines{"note t3"});
  EXPECT_EQ(tasks.trust("b"), Lines{"assign t3 to b"});
  EXPECT_EQ(tasks.trust("nobody"), Lines{});
}

TEST(TaskFrozenEngine, WhatItWasNotSeenToStartMovesAndUsesNoRetry) {
  TestTasks tasks({.hwm = 2});
  tasks.join("a");
  tasks.submit("begun");
  tasks.submit("queued");
  tasks.started("begun", "a");
  tasks.join("b");
  EXPECT_EQ(tasks.freeze("a"), (Lines{moved_line("a"), "abort queued at a", "assign queued to b"}));
  EXPECT_EQ(tasks.wait(100), Lines{"fail begun of a: EngineError"});
  EXPECT_EQ(tasks.error("queued", "a"),
            Lines{"log: task::dropped a reply of engine 'a': it was silent when it ran task "
                  "'queued', which another engine has been given"});
  EXPECT_EQ(tasks.succeed("queued", "b"), Lines{"forward queued from b: good"});
}

TEST(TaskFrozenEngine, WhatItRanAllTheSameCountsIfNobodyElseHasIt) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.freeze("a");
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
  EXPECT_EQ(tasks.join("b"), Lines{}) << "nothing is left to do";
}

TEST(TaskFrozenEngine, WhatItRanAllTheSameFreesWhoWaitsForIt) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.freeze("a");
  tasks.submit("u", {.after = {.msg_ids = {"t"}}});
  tasks.succeed("t", "a");
  EXPECT_EQ(tasks.join("b"), Lines{"assign u to b"});
}

TEST(TaskFrozenEngine, AnErrorOfItThatMayBeTriedAgainDoesNotCount) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.retries = 1});
  tasks.freeze("a");
  tasks.error("t", "a");
  EXPECT_EQ(tasks.join("b"), Lines{"assign t to b"});
}

TEST(TaskFrozenEngine, ItsTargetsStay) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.targets = {"a"}});
  EXPECT_EQ(tasks.freeze("a"),
            (Lines{moved_line("a"), "abort t at a", "fail t: ImpossibleDependency"}));
}

TEST(TaskFrozenEngine, ItComesBackUnderItsNameAndMayEvenGetTheTaskAgain) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  EXPECT_EQ(tasks.freeze("a"), (Lines{moved_line("a"), "abort t at a"}));
  EXPECT_EQ(tasks.join("a"), Lines{"assign t to a"});
  EXPECT_EQ(tasks.aborted("t", "a"),
            (Lines{"log: task::dropped a reply of engine 'a' for a task that it does not run",
                   "assign t to a"}))
      << "of the copy that it had before; the second may have been taken for a replay of it";
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST(TaskFrozenEngine, OneThatNeverForgetsGetsTheTaskAgainWithAnotherSignature) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.freeze("a");
  tasks.join("a");
  const bool forgotten = false;
  const Lines lines = tasks.aborted("t", "a", forgotten);
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1], "assign t to a, signed anew");
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST(TaskFrozenEngine, OneThatNeverForgetsMaySayItBeforeItIsBack) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.freeze("a");
  const bool forgotten = false;
  tasks.aborted("t", "a", forgotten);
  EXPECT_EQ(tasks.join("a"), Lines{"assign t to a, signed anew"});
}

TEST(TaskFrozenEngine, OnlyOneAbortedReplyIsDropped) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.freeze("a");
  tasks.join("a");
  tasks.aborted("t", "a");
  EXPECT_EQ(tasks.aborted("t", "a"), Lines{"forward t from a: aborted"});
}

// ---- poison -------------------------------------------------------------------------------------

TEST(TaskPoison, ATaskThatKilledManyEnginesIsGivenUp) {
  TestTasks tasks({.lost_engine_grace = ms(10), .poison_limit = 2});
  for (const std::string uuid : {"a", "b", "c"}) {
    tasks.join(uuid);
  }
  tasks.submit("t", {.retries = 5});
  tasks.leave("c");
  EXPECT_EQ(tasks.wait(10), Lines{"assign t to b"});
  tasks.leave("b");
  TaskActions actions;
  tasks.machine().step(tasks.now() + ms(10), TaskTimePassed{}, actions);
  EXPECT_EQ(failure_text(actions),
            "PoisonTask: 2 engines died while they ran task 't', it is not tried again: 'c', 'b'");
}

TEST(TaskPoison, OnlyTheTaskThatRanIsBlamed) {
  TestTasks tasks({.hwm = 2, .lost_engine_grace = ms(10), .poison_limit = 1});
  tasks.join("a");
  tasks.submit("runs", {.retries = 1});
  tasks.submit("queued", {.retries = 1});
  tasks.leave("a");
  tasks.join("b");
  const auto out = tasks.wait(10);
  EXPECT_NE(std::find(out.begin(), out.end(), "fail runs of a: PoisonTask"), out.end());
  EXPECT_NE(std::find(out.begin(), out.end(), "assign queued to b"), out.end());
}

TEST(TaskPoison, WithoutALimitRetriesDecide) {
  TestTasks tasks({.lost_engine_grace = ms(10), .poison_limit = 0});
  for (const std::string uuid : {"a", "b", "c", "d"}) {
    tasks.join(uuid);
  }
  tasks.submit("t", {.retries = 3});
  for (const std::string uuid : {"d", "c", "b"}) {
    tasks.leave(uuid);
    tasks.wait(10);
  }
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
}

// ---- explanations -------------------------------------------------------------------------------

TEST(TaskExplain, EveryCauseHasItsOwnSentence) {
  TestTasks tasks({.hwm = 1});
  EXPECT_EQ(tasks.why("t").substr(0, 8), "unknown:");
  tasks.submit("t");
  EXPECT_EQ(tasks.why("t"), "waiting: no engine is registered");
  tasks.join("a", {{"gpu", 2}});
  tasks.wait(1500);
  EXPECT_EQ(tasks.why("t"), "running: engine 'a' has it since 1.5 s");
  tasks.started("t", "a");
  EXPECT_EQ(tasks.why("t"), "running: it runs on engine 'a' since 0 s");
  tasks.submit("u");
  EXPECT_EQ(tasks.why("u"), "waiting: of 1 engine, 1 can be used; all busy (hwm=1)");
  tasks.join("b");
  tasks.submit("v", {.targets = {"a", "gone"}});
  EXPECT_EQ(tasks.why("v"), "waiting: of its 2 targets, 1 can be used; all busy (hwm=1)");
  tasks.submit("w", {.resources = {{"gpu", 3}}});
  EXPECT_EQ(tasks.why("w"),
            "waiting: of 2 engines, 2 can be used; all with less than gpu=3 in total; it waits for "
            "an engine that has more");
  tasks.suspect("b");
  tasks.submit("x");
  EXPECT_EQ(tasks.why("x"),
            "waiting: of 2 engines, 2 can be used; 1 silent, maybe frozen, "
            "1 busy (hwm=1)");
  tasks.submit("y", {.after = all_of({"x", "w"})});
  EXPECT_EQ(tasks.why("y"), "blocked: it waits for 2 tasks that it depends on: 'w', 'x'");
  tasks.leave("a");
  EXPECT_EQ(tasks.why("t"),
            "orphaned: its engine 'a' is gone; a reply that is under way still counts for a "
            "moment");
  tasks.wait(1000);
  EXPECT_EQ(tasks.why("t"), "finished: it failed or was refused");
}

TEST(TaskExplain, ATaskBehindAnotherOneOnItsEngine) {
  TestTasks tasks({.hwm = 4});
  tasks.join("a", {{"gpu", 1}});
  tasks.submit("t1", {.resources = {{"gpu", 1}}});
  tasks.submit("t2");
  tasks.submit("t3", {.resources = {{"gpu", 1}}});
  EXPECT_EQ(tasks.why("t2"), "running: engine 'a' has it and runs 1 older task first");
  EXPECT_EQ(tasks.why("t3"),
            "waiting: of 1 engine, 1 can be used; all with less than gpu=1 free, or keeping it "
            "for a task that goes first");
  tasks.suspect("a");
  EXPECT_EQ(tasks.why("t1"),
            "running: engine 'a' has it since 0 s; the engine does not answer at the moment and "
            "may be frozen");
}

TEST(TaskExplain, ATaskThatFailedEverywhere) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.unmet("t", "a");
  EXPECT_EQ(tasks.why("t"),
            "waiting: it failed, was unmet or could not be handed over on each engine that is here "
            "and that it may use; it waits for another one");
}

TEST(TaskExplain, ATaskBehindItsRunLimit) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.run_timeout_ms = 10});
  tasks.wait(10);
  EXPECT_EQ(tasks.why("t"),
            "running: it ran for longer than its run_timeout on engine 'a', which was sent "
            "SIGINT");
  tasks.error("t", "a");
  EXPECT_EQ(tasks.why("t"), "finished: it failed or was refused");
}

}  // namespace
}  // namespace ipf
