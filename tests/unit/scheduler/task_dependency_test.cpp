// `after` and `follow` (protocol.md 5.1).
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/task_machine.hpp"
#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

using test::all_of;
using test::any_of;
using test::ended;
using test::failed;
using test::Lines;
using test::ms;
using test::TestTasks;

Lines impossible(const std::string& id) {
  return {"note " + id, "fail " + id + ": ImpossibleDependency"};
}
Lines invalid(const std::string& id) {
  return {"note " + id, "fail " + id + ": InvalidDependency"};
}

/// Two engines; `good` has succeeded on b, `bad` has failed on b, `open` runs on b.
class TaskDependency : public testing::Test {
 protected:
  TaskDependency() {
    tasks.join("a");
    tasks.join("b");
    EXPECT_EQ(tasks.submit("good"), Lines{"send good to b"});
    tasks.succeed("good", "b");
    EXPECT_EQ(tasks.submit("hold"), Lines{"send hold to a"});
    EXPECT_EQ(tasks.submit("bad"), Lines{"send bad to b"});
    tasks.error("bad", "b");
    EXPECT_EQ(tasks.submit("open"), Lines{"send open to b"});
    tasks.succeed("hold", "a");
  }
  TestTasks tasks;
};

// ---- after --------------------------------------------------------------------------------------

TEST_F(TaskDependency, ATaskAfterAFinishedOneRunsAtOnce) {
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"good"})}), Lines{"send t to a"});
}

TEST_F(TaskDependency, ATaskAfterAnUnfinishedOneWaitsThoughAnEngineIsFree) {
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"good", "open"})}), Lines{"note t"});
  EXPECT_EQ(tasks.succeed("open", "b"), (Lines{"forward open from b: good", "assign t to a"}));
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST_F(TaskDependency, AllOfSeveralMustEnd) {
  tasks.submit("second");
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"open", "second", "good"})}), Lines{"note t"});
  EXPECT_EQ(tasks.succeed("open", "b"), Lines{"forward open from b: good"});
  EXPECT_EQ(tasks.succeed("second", "a"), (Lines{"forward second from a: good", "assign t to b"}));
}

TEST_F(TaskDependency, AnyOfSeveralIsEnough) {
  tasks.submit("second");
  EXPECT_EQ(tasks.submit("t", {.after = any_of({"open", "second", "bad"})}), Lines{"note t"});
  EXPECT_EQ(tasks.succeed("second", "a"), (Lines{"forward second from a: good", "assign t to a"}));
  tasks.succeed("open", "b");
  EXPECT_EQ(tasks.submit("u", {.after = any_of({"bad", "good"})}), Lines{"send u to b"});
}

TEST_F(TaskDependency, AFailedOneMakesAllImpossibleAtOnce) {
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"open", "bad"})}), impossible("t"));
}

TEST_F(TaskDependency, AFailureLaterEndsTheWait) {
  tasks.submit("t", {.after = all_of({"open"})});
  EXPECT_EQ(tasks.error("open", "b"),
            (Lines{"forward open from b: bad", "fail t: ImpossibleDependency"}));
  EXPECT_EQ(tasks.machine().task_count(), 0U);
}

TEST_F(TaskDependency, AnyIsImpossibleOnlyWhenNoneIsLeft) {
  tasks.submit("second");
  tasks.submit("t", {.after = any_of({"open", "second", "bad"})});
  EXPECT_EQ(tasks.error("open", "b"), Lines{"forward open from b: bad"});
  EXPECT_EQ(tasks.error("second", "a"),
            (Lines{"forward second from a: bad", "fail t: ImpossibleDependency"}));
}

TEST_F(TaskDependency, FailureCanBeWhatIsWaitedFor) {
  EXPECT_EQ(tasks.submit("t", {.after = failed({"bad"})}), Lines{"send t to a"});
  EXPECT_EQ(tasks.submit("u", {.after = failed({"good"})}), impossible("u"));
  EXPECT_EQ(tasks.submit("v", {.after = failed({"open"})}), Lines{"note v"});
  EXPECT_EQ(tasks.succeed("open", "b"),
            (Lines{"forward open from b: good", "fail v: ImpossibleDependency"}));
}

TEST_F(TaskDependency, EitherEndWillDo) {
  EXPECT_EQ(tasks.submit("t", {.after = ended({"bad", "good"})}), Lines{"send t to a"});
  EXPECT_EQ(tasks.submit("u", {.after = ended({"open"})}), Lines{"note u"});
  EXPECT_EQ(tasks.error("open", "b"), (Lines{"forward open from b: bad", "assign u to b"}));
}

TEST_F(TaskDependency, NamingATaskTwiceIsNamingItOnce) {
  tasks.submit("t", {.after = all_of({"open", "open", "good", "good"})});
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign t to a");
}

TEST_F(TaskDependency, AnUnknownTaskOrItselfIsInvalidAtOnce) {
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"never"})}), invalid("t"));
  EXPECT_EQ(tasks.submit("u", {.follow = any_of({"good", "never"})}), invalid("u"));
  EXPECT_EQ(tasks.submit("v", {.after = any_of({"good", "v"})}), invalid("v"));
  EXPECT_EQ(tasks.machine().task_count(), 1U) << "only `open`";
  const auto actions = tasks.submit_for_actions("w", {.after = all_of({"ne\nver"})});
  EXPECT_EQ(std::get<FailTask>(actions.at(1)).failure.evalue,
            "'after' names task 'ne?ver', which the task scheduler does not know: it was not sent "
            "through a load-balanced view, or more than 262144 tasks ended after it");
}

TEST_F(TaskDependency, ATaskWithRetriesFailsForItsDependentsOnlyWithItsLastReply) {
  tasks.submit("r", {.retries = 1});
  tasks.submit("t", {.after = all_of({"r"})});
  EXPECT_EQ(tasks.error("r", "a"), Lines{}) << "b is busy";
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign r to b");
  EXPECT_EQ(tasks.succeed("r", "b"), (Lines{"forward r from b: good", "assign t to a"}));
}

TEST_F(TaskDependency, TheFailuresMadeHereCountToo) {
  tasks.submit("late", {.targets = {"b"}, .timeout_ms = 10});
  tasks.submit("t", {.after = all_of({"late"})});
  tasks.submit("u", {.after = failed({"late"})});
  EXPECT_EQ(tasks.wait(10),
            (Lines{"fail late: TaskTimeout", "fail t: ImpossibleDependency", "assign u to a"}));
}

TEST_F(TaskDependency, AnEnginesDeathFailsItsTaskForThoseBehindIt) {
  tasks.submit("t", {.after = all_of({"open"})});
  tasks.leave("b");
  EXPECT_EQ(tasks.wait(100),
            (Lines{"fail open of b: EngineError", "fail t: ImpossibleDependency"}));
}

TEST_F(TaskDependency, FailuresRunDownALongChainWithoutDeepRecursion) {
  std::string before = "open";
  constexpr int length = 20'000;
  TaskActions actions;
  for (int i = 0; i < length; ++i) {
    const std::string id = "c" + std::to_string(i);
    tasks.machine().step(tasks.now(),
                         TaskSubmitted{.msg_id = id,
                                       .options = {.after = all_of({before})},
                                       .request = test::request_message(id)},
                         actions);
    before = id;
  }
  actions.clear();
  const auto out = tasks.error("open", "b");
  EXPECT_EQ(out.size(), length + 1U);
  EXPECT_EQ(out.back(), "fail c19999: ImpossibleDependency");
  EXPECT_EQ(tasks.machine().task_count(), 0U);
}

TEST_F(TaskDependency, TheTimeoutRunsWhileATaskIsBlockedAndIsNotStartedAnewByTheQueue) {
  tasks.submit("t", {.timeout_ms = 100, .after = all_of({"open"})});
  EXPECT_EQ(tasks.wait(60), Lines{});
  tasks.submit("busy", {.targets = {"a"}});
  tasks.submit("next", {.targets = {"b"}});
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign t to b") << "t is older than next";
  tasks.submit("u", {.timeout_ms = 100, .after = all_of({"t"})});
  EXPECT_EQ(tasks.wait(60), Lines{}) << "t runs";
  EXPECT_EQ(tasks.succeed("t", "b").back(), "assign next to b");
  EXPECT_EQ(tasks.wait(39), Lines{});
  EXPECT_EQ(tasks.wait(1), Lines{"fail u: TaskTimeout"});
}

TEST_F(TaskDependency, ABlockedTaskThatTimedOutIsNotReleasedLater) {
  tasks.submit("t", {.timeout_ms = 10, .after = all_of({"open"})});
  EXPECT_EQ(tasks.wait(10), Lines{"fail t: TaskTimeout"});
  EXPECT_EQ(tasks.succeed("open", "b"), Lines{"forward open from b: good"});
}

TEST_F(TaskDependency, EdgesOfTasksThatEndedDoNotPileUpBehindALongTask) {
  for (int i = 0; i < 100'000; ++i) {
    const std::string id = "t" + std::to_string(i);
    TaskActions actions;
    tasks.machine().step(
        tasks.now(),
        TaskSubmitted{.msg_id = id,
                      .options = {.after = all_of({"open"}), .timeout_seconds = 1e-3},
                      .request = test::request_message(id)},
        actions);
    if (i % 100 == 99) {
      tasks.wait(1);
    }
  }
  EXPECT_EQ(tasks.machine().task_count(), 1U);
  EXPECT_EQ(tasks.succeed("open", "b"), Lines{"forward open from b: good"});
}

TEST_F(TaskDependency, ReleasedTasksKeepTheOrderOfTheirSubmission) {
  tasks.submit("t1", {.after = all_of({"open"})});
  tasks.submit("busy", {.targets = {"a"}});
  tasks.submit("t2");
  tasks.submit("t3", {.after = all_of({"open"})});
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign t1 to b");
  EXPECT_EQ(tasks.succeed("t1", "b").back(), "assign t2 to b");
  EXPECT_EQ(tasks.succeed("t2", "b").back(), "assign t3 to b");
}

TEST_F(TaskDependency, ManyReleasedAtOnceFillAllEngines) {
  tasks.join("c");
  tasks.submit("t1", {.after = all_of({"open"})});
  tasks.submit("t2", {.after = all_of({"open"})});
  tasks.submit("t3", {.after = all_of({"open"})});
  tasks.submit("t4", {.after = all_of({"open"})});
  EXPECT_EQ(tasks.succeed("open", "b"), (Lines{"forward open from b: good", "assign t1 to c",
                                               "assign t2 to a", "assign t3 to b"}));
}

TEST(TaskDependencyOptions, OnlySoManyFinishedTasksAreRemembered) {
  TestTasks tasks({.finished_max = 3});
  tasks.join("a");
  for (const std::string id : {"t1", "t2", "t3", "t4"}) {
    tasks.submit(id);
    tasks.succeed(id, "a");
  }
  EXPECT_EQ(tasks.machine().finished_count(), 3U);
  EXPECT_EQ(tasks.submit("u", {.after = all_of({"t1"})}), invalid("u"));
  EXPECT_EQ(tasks.submit("v", {.after = all_of({"t4"})}), Lines{"send v to a"});
}

TEST(TaskDependencyOptions, ADiamondRunsInItsOrder) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("top");
  tasks.submit("left", {.after = all_of({"top"})});
  tasks.submit("right", {.after = all_of({"top"})});
  tasks.submit("bottom", {.after = all_of({"left", "right"})});
  EXPECT_EQ(tasks.succeed("top", "b"),
            (Lines{"forward top from b: good", "assign left to a", "assign right to b"}));
  EXPECT_EQ(tasks.succeed("left", "a"), Lines{"forward left from a: good"});
  EXPECT_EQ(tasks.succeed("right", "b").back(), "assign bottom to a");
}

TEST(TaskDependencyOptions, PureIgnoresThem) {
  TestTasks tasks({.scheme = SchemeName::pure});
  tasks.join("a");
  EXPECT_EQ(tasks.submit("t", {.after = all_of({"never"})}), Lines{"send t to a"});
}

// ---- follow -------------------------------------------------------------------------------------

TEST_F(TaskDependency, AFollowerRunsWhereItsDependencyRan) {
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"good"})}), Lines{"note t"}) << "b is busy";
  EXPECT_EQ(tasks.succeed("open", "b"), (Lines{"forward open from b: good", "assign t to b"}));
}

TEST_F(TaskDependency, AFollowerWaitsForItsDependency) {
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"open", "good"})}), Lines{"note t"});
  EXPECT_EQ(tasks.succeed("open", "b"), (Lines{"forward open from b: good", "assign t to b"}));
}

TEST_F(TaskDependency, FollowingAllOnSeveralEnginesIsImpossible) {
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"hold", "good"})}), impossible("t"));
  EXPECT_EQ(tasks.submit("u", {.follow = all_of({"hold", "open"})}), Lines{"note u"});
  EXPECT_EQ(tasks.succeed("open", "b"),
            (Lines{"forward open from b: good", "fail u: ImpossibleDependency"}));
}

TEST_F(TaskDependency, FollowingAnyMayRunOnEachOfTheirEngines) {
  EXPECT_EQ(tasks.submit("t", {.follow = any_of({"hold", "good"})}), Lines{"send t to a"});
  EXPECT_EQ(tasks.submit("u", {.follow = any_of({"hold", "open"})}), Lines{"note u"});
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign u to b");
}

TEST_F(TaskDependency, AFailedDependencyCannotBeFollowedUnlessFailureIsAskedFor) {
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"bad"})}), impossible("t"));
  EXPECT_EQ(tasks.submit("u", {.follow = failed({"bad"})}), Lines{"note u"});
  EXPECT_EQ(tasks.succeed("open", "b").back(), "assign u to b");
}

TEST_F(TaskDependency, WhatEndedOnNoEngineCannotBeFollowed) {
  tasks.submit("late", {.targets = {"b"}, .timeout_ms = 10});
  tasks.wait(10);
  EXPECT_EQ(tasks.submit("t", {.follow = ended({"late"})}), impossible("t"));
  EXPECT_EQ(tasks.submit("u", {.follow = ended({"late"}, false)}), impossible("u"));
}

TEST_F(TaskDependency, AFollowerOfAnEngineThatIsGoneIsImpossible) {
  tasks.submit("waits", {.follow = all_of({"good"})});
  EXPECT_EQ(tasks.leave("b"), Lines{"fail waits: ImpossibleDependency"});
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"good"})}), impossible("t"));
}

TEST_F(TaskDependency, TargetsAndFollowMustBothAllowTheEngine) {
  EXPECT_EQ(tasks.submit("t", {.targets = {"a"}, .follow = all_of({"good"})}), impossible("t"));
  EXPECT_EQ(tasks.submit("u", {.targets = {"a", "b"}, .follow = any_of({"good", "hold"})}),
            Lines{"send u to a"});
}

TEST_F(TaskDependency, AfterAndFollowTogether) {
  tasks.submit("t", {.after = all_of({"open"}), .follow = all_of({"hold"})});
  EXPECT_EQ(tasks.succeed("open", "b"), (Lines{"forward open from b: good", "assign t to a"}));
}

TEST_F(TaskDependency, AnEngineThatCameBackUnderItsOldNameCanBeFollowed) {
  tasks.leave("b");
  tasks.wait(100);
  tasks.join("b");
  EXPECT_EQ(tasks.submit("t", {.follow = all_of({"good"})}), Lines{"send t to b"});
}

}  // namespace
}  // namespace ipf
