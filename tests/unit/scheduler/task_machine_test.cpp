#include "scheduler/task_machine.hpp"

#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

using test::Lines;
using test::ms;
using test::TestTasks;

Lines nothing() {
  return {};
}

Lines dropped(const std::string& engine) {
  return {"log: task::dropped a reply of engine '" + engine + "' for a task that it does not run"};
}

// ---- placement (protocol.md 5.2) ----------------------------------------------------------------

TEST(TaskPlacement, ATaskGoesToAnEngineAtOnceAndItsReplyToTheClient) {
  TestTasks tasks;
  EXPECT_EQ(tasks.join("a"), nothing());
  EXPECT_EQ(tasks.submit("t"), Lines{"send t to a"});
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
  EXPECT_EQ(tasks.machine().load_of("a"), 0U);
  EXPECT_EQ(tasks.machine().task_count(), 0U);
  EXPECT_EQ(tasks.machine().next_deadline(), TimePoint::never());
}

TEST(TaskPlacement, TheMessagesPassUnchanged) {
  TestTasks tasks;
  tasks.join("a");
  const auto sent = tasks.submit_for_actions("t");
  const auto& request = std::get<SendTask>(sent.at(0)).request;
  EXPECT_EQ(test::texts_of(request.frames()), test::texts_of(test::request_message("t").frames()));
  const auto reply = test::reply_message("a", "result");
  const auto forwarded =
      tasks.step(TaskReplied{.msg_id = "t", .engine_uuid = "a", .succeeded = true, .reply = reply});
  const auto& action = std::get<ForwardReply>(forwarded.at(0));
  EXPECT_EQ(test::texts_of(action.reply.frames()), test::texts_of(reply.frames()));
  EXPECT_EQ(action.request.identity(0), "client");
}

TEST(TaskPlacement, WithoutEnginesTasksWaitAndTheHubHearsOfThem) {
  TestTasks tasks;
  EXPECT_EQ(tasks.submit("t1"), Lines{"note t1"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"note t2"});
  EXPECT_EQ(tasks.join("a"), Lines{"assign t1 to a"});
  EXPECT_EQ(tasks.join("b"), Lines{"assign t2 to b"});
}

TEST(TaskPlacement, WaitingTasksComeInTheOrderOfTheirSubmission) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t0");
  for (const std::string id : {"t1", "t2", "t3"}) {
    EXPECT_EQ(tasks.submit(id), Lines{"note " + id});
  }
  EXPECT_EQ(tasks.succeed("t0", "a"), (Lines{"forward t0 from a: good", "assign t1 to a"}));
  EXPECT_EQ(tasks.succeed("t1", "a"), (Lines{"forward t1 from a: good", "assign t2 to a"}));
  EXPECT_EQ(tasks.error("t2", "a"), (Lines{"forward t2 from a: bad", "assign t3 to a"}));
}

TEST(TaskPlacement, AnEngineNeverHasMoreThanHwmTasks) {
  TestTasks tasks({.hwm = 2});
  tasks.join("a");
  EXPECT_EQ(tasks.submit("t1"), Lines{"send t1 to a"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"send t2 to a"});
  EXPECT_EQ(tasks.submit("t3"), Lines{"note t3"});
  EXPECT_EQ(tasks.machine().load_of("a"), 2U);
}

TEST(TaskPlacement, ZeroHwmMeansNoLimit) {
  TestTasks tasks({.hwm = 0});
  tasks.join("a");
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(tasks.submit(std::to_string(i)).at(0), "send " + std::to_string(i) + " to a");
  }
  EXPECT_EQ(tasks.machine().load_of("a"), 100U);
}

TEST(TaskPlacement, ANewEngineComesFirst) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.join("c");
  EXPECT_EQ(tasks.submit("t1"), Lines{"send t1 to c"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"send t2 to b"});
  EXPECT_EQ(tasks.submit("t3"), Lines{"send t3 to a"});
}

TEST(TaskPlacement, LeastloadPrefersTheEngineWithFewerTasks) {
  TestTasks tasks({.hwm = 5});
  tasks.join("a");
  tasks.submit("t1");
  tasks.submit("t2");
  tasks.join("b");
  EXPECT_EQ(tasks.submit("t3"), Lines{"send t3 to b"});
  EXPECT_EQ(tasks.submit("t4"), Lines{"send t4 to b"});
  EXPECT_EQ(tasks.submit("t5"), Lines{"send t5 to a"}) << "equal loads: a was not used for longer";
}

TEST(TaskPlacement, LruAlternatesWhateverTheLoad) {
  TestTasks tasks({.scheme = SchemeName::lru, .hwm = 5});
  tasks.join("a");
  tasks.join("b");
  EXPECT_EQ(tasks.submit("t1"), Lines{"send t1 to b"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"send t2 to a"});
  tasks.succeed("t2", "a");
  EXPECT_EQ(tasks.submit("t3"), Lines{"send t3 to b"});
}

TEST(TaskPlacement, AJoiningEngineTakesUpToHwmWaitingTasks) {
  TestTasks tasks({.hwm = 2});
  tasks.submit("t1");
  tasks.submit("t2");
  tasks.submit("t3");
  EXPECT_EQ(tasks.join("a"), (Lines{"assign t1 to a", "assign t2 to a"}));
}

TEST(TaskPlacement, ASecondAnnouncementOfAnEngineChangesNothing) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t1");
  EXPECT_EQ(tasks.join("a"), nothing());
  EXPECT_EQ(tasks.machine().engine_count(), 1U);
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
}

TEST(TaskPlacement, ASecondTaskWithAMsgIdThatIsKnownIsDropped) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  EXPECT_EQ(tasks.submit("t"),
            Lines{"log: task::dropped a second task with the msg_id of an unfinished one"});
  EXPECT_EQ(tasks.machine().task_count(), 1U);
  tasks.succeed("t", "a");
  EXPECT_EQ(tasks.submit("t"), Lines{"answer t again"});
}

TEST(TaskPlacement, PureIgnoresEverythingButTheEngines) {
  TestTasks tasks({.scheme = SchemeName::pure, .hwm = 1});
  tasks.join("a");
  tasks.join("b");
  EXPECT_EQ(tasks.submit("t1", {.targets = {"nobody"}, .retries = 3, .timeout_ms = 1}),
            Lines{"send t1 to b"});
  EXPECT_EQ(tasks.submit("t2"), Lines{"send t2 to a"});
  EXPECT_EQ(tasks.submit("t3"), Lines{"send t3 to b"}) << "no high-water mark";
  EXPECT_EQ(tasks.error("t1", "b"), Lines{"forward t1 from b: bad"}) << "no retries";
}

// ---- targets ------------------------------------------------------------------------------------

TEST(TaskTargets, OnlyTheNamedEnginesAreUsed) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.join("c");
  EXPECT_EQ(tasks.submit("t1", {.targets = {"a"}}), Lines{"send t1 to a"});
  EXPECT_EQ(tasks.submit("t2", {.targets = {"a", "b"}}), Lines{"send t2 to b"});
  EXPECT_EQ(tasks.submit("t3", {.targets = {"a", "b"}}), Lines{"note t3"});
  EXPECT_EQ(tasks.succeed("t1", "a"), (Lines{"forward t1 from a: good", "assign t3 to a"}));
}

TEST(TaskTargets, TheChoiceAmongTargetsFollowsTheScheme) {
  TestTasks tasks({.hwm = 3});
  tasks.join("a");
  tasks.join("b");
  tasks.join("c");
  tasks.submit("t1", {.targets = {"b"}});
  EXPECT_EQ(tasks.submit("t2", {.targets = {"b", "a", "a"}}), Lines{"send t2 to a"});
}

TEST(TaskTargets, ATaskForABusyEngineHoldsNobodyElseUp) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t1", {.targets = {"a"}});
  tasks.submit("t2", {.targets = {"a"}});
  EXPECT_EQ(tasks.submit("t3"), Lines{"send t3 to b"});
}

TEST(TaskTargets, OlderTasksComeFirstWhetherTheyNameTheEngineOrNot) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t0");
  tasks.submit("t1");
  tasks.submit("t2", {.targets = {"a"}});
  tasks.submit("t3");
  EXPECT_EQ(tasks.succeed("t0", "a").at(1), "assign t1 to a");
  EXPECT_EQ(tasks.succeed("t1", "a").at(1), "assign t2 to a");
  EXPECT_EQ(tasks.succeed("t2", "a").at(1), "assign t3 to a");
}

TEST(TaskTargets, UnknownTargetsAreImpossibleAtOnceAndTheHubGetsARecord) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.submit("t", {.targets = {"gone", "never"}}),
            (Lines{"note t", "fail t: ImpossibleDependency"}));
  EXPECT_EQ(tasks.machine().task_count(), 0U);
}

TEST(TaskTargets, TheLastTargetLeavingMakesAWaitingTaskImpossible) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("r1", {.targets = {"a"}});
  tasks.submit("r2", {.targets = {"b"}});
  tasks.submit("t", {.targets = {"a", "b"}});
  EXPECT_EQ(tasks.leave("a"), nothing());
  EXPECT_EQ(tasks.leave("b"), Lines{"fail t: ImpossibleDependency"});
}

TEST(TaskTargets, UnmetOnEveryTargetIsImpossible) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.targets = {"a", "b"}});
  EXPECT_EQ(tasks.unmet("t", "b"), Lines{"assign t to a"});
  EXPECT_EQ(tasks.unmet("t", "a"), Lines{"fail t: ImpossibleDependency"});
}

// ---- time ---------------------------------------------------------------------------------------

TEST(TaskTimeout, ATaskThatWaitsTooLongFails) {
  TestTasks tasks;
  EXPECT_EQ(tasks.submit("t", {.timeout_ms = 500}), Lines{"note t"});
  EXPECT_EQ(tasks.machine().next_deadline(), tasks.now() + ms(500));
  EXPECT_EQ(tasks.wait(499), nothing());
  EXPECT_EQ(tasks.wait(1), Lines{"fail t: TaskTimeout"});
  EXPECT_EQ(tasks.machine().next_deadline(), TimePoint::never());
  EXPECT_EQ(tasks.join("a"), nothing());
}

TEST(TaskTimeout, ARunningTaskIsNeverTimedOut) {
  TestTasks tasks;
  tasks.submit("t", {.timeout_ms = 500});
  EXPECT_EQ(tasks.join("a"), Lines{"assign t to a"});
  EXPECT_EQ(tasks.wait(100'000), nothing());
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST(TaskTimeout, BackInTheQueueTheTimeStartsAgain) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.timeout_ms = 500});
  tasks.wait(400);
  EXPECT_EQ(tasks.unmet("t", "a"), nothing());
  EXPECT_EQ(tasks.wait(499), nothing());
  EXPECT_EQ(tasks.wait(1), Lines{"fail t: TaskTimeout"});
}

TEST(TaskTimeout, ManyDeadlinesEndInTheirOrder) {
  TestTasks tasks;
  tasks.submit("t3", {.timeout_ms = 3});
  tasks.submit("t1", {.timeout_ms = 1});
  tasks.submit("t2", {.timeout_ms = 2});
  tasks.submit("t0");
  EXPECT_EQ(tasks.wait(10),
            (Lines{"fail t1: TaskTimeout", "fail t2: TaskTimeout", "fail t3: TaskTimeout"}));
  EXPECT_EQ(tasks.machine().task_count(), 1U);
}

TEST(TaskTimeout, ATaskThatTimedOutTakesNoSlotLater) {
  TestTasks tasks;
  tasks.submit("t1", {.timeout_ms = 1});
  tasks.submit("t2");
  tasks.wait(1);
  EXPECT_EQ(tasks.join("a"), Lines{"assign t2 to a"});
}

// ---- retries and unmet dependencies -------------------------------------------------------------

TEST(TaskRetry, AFailedTaskIsTriedOnAnotherEngine) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 1});
  EXPECT_EQ(tasks.error("t", "b"), Lines{"assign t to a"});
  EXPECT_EQ(tasks.error("t", "a", "second"), Lines{"forward t from a: second"});
}

TEST(TaskRetry, ASuccessNeedsNoRetry) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 5});
  EXPECT_EQ(tasks.succeed("t", "b"), Lines{"forward t from b: good"});
}

TEST(TaskRetry, WaitsForAnotherEngineWithRoomAndNeverTakesTheSameOne) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 1});
  tasks.submit("u");
  EXPECT_EQ(tasks.error("t", "b"), nothing());
  EXPECT_EQ(tasks.submit("v"), Lines{"send v to b"})
      << "the engine where it failed is free for others";
  EXPECT_EQ(tasks.succeed("u", "a"), (Lines{"forward u from a: good", "assign t to a"}));
}

TEST(TaskRetry, WithoutAnotherEngineTheLastErrorIsDeliveredWithTheNameOfItsEngine) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.retries = 7});
  EXPECT_EQ(tasks.error("t", "a", "why"), Lines{"forward t from a: why"});
}

TEST(TaskRetry, WhenTheLastOtherEngineLeavesTheLastErrorIsDelivered) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 7});
  tasks.submit("u");
  EXPECT_EQ(tasks.error("t", "b", "why"), nothing());
  EXPECT_EQ(tasks.leave("a"), Lines{"forward t from b: why"});
}

TEST(TaskRetry, WithATimeoutMoreRetriesThanEnginesEndAsTaskTimeout) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.retries = 5, .timeout_ms = 500});
  EXPECT_EQ(tasks.error("t", "a"), nothing());
  EXPECT_EQ(tasks.wait(500), Lines{"fail t: TaskTimeout"});
}

TEST(TaskRetry, AnEngineThatJoinsLaterMayTryIt) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.retries = 5, .timeout_ms = 500});
  tasks.error("t", "a");
  EXPECT_EQ(tasks.join("b"), Lines{"assign t to b"});
}

TEST(TaskRetry, RetriesRunOutOneByOne) {
  TestTasks tasks;
  for (const std::string uuid : {"e1", "e2", "e3", "e4"}) {
    tasks.join(uuid);
  }
  tasks.submit("t", {.retries = 2});
  EXPECT_EQ(tasks.error("t", "e4"), Lines{"assign t to e3"});
  EXPECT_EQ(tasks.error("t", "e3"), Lines{"assign t to e2"});
  EXPECT_EQ(tasks.error("t", "e2", "third"), Lines{"forward t from e2: third"});
}

TEST(TaskRetry, TargetsThatAllFailedDeliverTheLastError) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.targets = {"a"}, .retries = 3});
  EXPECT_EQ(tasks.error("t", "a", "why"), Lines{"forward t from a: why"});
}

TEST(TaskUnmet, UsesUpNoRetries) {
  TestTasks tasks;
  for (const std::string uuid : {"e1", "e2", "e3"}) {
    tasks.join(uuid);
  }
  tasks.submit("t", {.retries = 1});
  EXPECT_EQ(tasks.unmet("t", "e3"), Lines{"assign t to e2"});
  EXPECT_EQ(tasks.error("t", "e2"), Lines{"assign t to e1"});
  EXPECT_EQ(tasks.error("t", "e1", "end"), Lines{"forward t from e1: end"});
}

TEST(TaskUnmet, OnEveryEngineItWaitsForANewOne) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  EXPECT_EQ(tasks.unmet("t", "a"), nothing());
  EXPECT_EQ(tasks.machine().task_count(), 1U);
  EXPECT_EQ(tasks.leave("a"), nothing());
  EXPECT_EQ(tasks.join("a"), nothing()) << "it was unmet there before";
  EXPECT_EQ(tasks.join("b"), Lines{"assign t to b"});
}

TEST(TaskUnmet, AnUnmetReplyThatCallsItselfASuccessIsUnmetAllTheSame) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t");
  EXPECT_EQ(test::lines(tasks.step(TaskReplied{.msg_id = "t",
                                               .engine_uuid = "b",
                                               .succeeded = true,
                                               .dependencies_met = false,
                                               .reply = test::reply_message("b", "odd")})),
            Lines{"assign t to a"});
}

// ---- engines that die (protocol.md 5.5) ---------------------------------------------------------

TEST(TaskEngineLost, AfterTheGraceTheTaskFailsWithTheEnginesName) {
  TestTasks tasks({.lost_engine_grace = ms(100)});
  tasks.join("a");
  tasks.submit("t");
  EXPECT_EQ(tasks.leave("a"), nothing());
  EXPECT_EQ(tasks.wait(99), nothing());
  EXPECT_EQ(tasks.wait(1), Lines{"fail t of a: EngineError"});
  EXPECT_EQ(tasks.machine().task_count(), 0U);
}

TEST(TaskEngineLost, TheErrorTellsEngineAndTask) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.leave("a");
  TaskActions actions;
  tasks.machine().step(tasks.now() + ms(1000), TaskTimePassed{}, actions);
  EXPECT_EQ(std::get<FailTask>(actions.at(0)).failure.evalue,
            "Engine 'a' died while running task 't'");
}

TEST(TaskEngineLost, AReplyWithinTheGraceWins) {
  TestTasks tasks({.lost_engine_grace = ms(100)});
  tasks.join("a");
  tasks.submit("t");
  tasks.leave("a");
  tasks.wait(99);
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
  EXPECT_EQ(tasks.wait(1000), nothing());
}

TEST(TaskEngineLost, LateResultOfALostEngineIsDropped) {
  TestTasks tasks({.lost_engine_grace = ms(100)});
  tasks.join("a");
  tasks.submit("t");
  tasks.leave("a");
  tasks.wait(100);
  EXPECT_EQ(tasks.succeed("t", "a"), dropped("a"));
}

TEST(TaskEngineLost, WithRetriesTheTaskGoesElsewhereAfterTheGrace) {
  TestTasks tasks({.lost_engine_grace = ms(100)});
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 1});
  tasks.leave("b");
  EXPECT_EQ(tasks.wait(100), Lines{"assign t to a"});
  EXPECT_EQ(tasks.succeed("t", "b"), dropped("b"));
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
}

TEST(TaskEngineLost, AFailureWithinTheGraceUsesARetry) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 1});
  tasks.leave("b");
  EXPECT_EQ(tasks.error("t", "b"), Lines{"assign t to a"});
  EXPECT_EQ(tasks.wait(1000), nothing()) << "the grace of the first engine is over and forgotten";
}

TEST(TaskEngineLost, ALostTargetWithRetriesLeftIsImpossible) {
  TestTasks tasks({.lost_engine_grace = ms(100)});
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.targets = {"a"}, .retries = 2});
  tasks.leave("a");
  EXPECT_EQ(tasks.wait(100), Lines{"fail t of a: ImpossibleDependency"});
}

TEST(TaskEngineLost, ItsSlotAndQueueAreNotInheritedByTheNextEngine) {
  TestTasks tasks({.hwm = 1});
  tasks.join("a");
  tasks.join("b");
  tasks.submit("r1");                          // on b
  tasks.submit("r2");                          // on a
  tasks.submit("t", {.targets = {"a", "b"}});  // waits in both queues
  tasks.leave("a");
  EXPECT_EQ(tasks.join("c"), nothing()) << "c sits in a's old place but is no target";
  EXPECT_EQ(tasks.machine().load_of("c"), 0U);
  EXPECT_EQ(tasks.succeed("r1", "b"), (Lines{"forward r1 from b: good", "assign t to b"}));
}

TEST(TaskEngineLost, AReplyForATaskOfTheOldEngineDoesNotCountAtTheNewOneInItsPlace) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.leave("a");
  tasks.join("b");
  tasks.submit("u");
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"});
  EXPECT_EQ(tasks.machine().load_of("b"), 1U) << "u still runs there";
}

TEST(TaskEngineLost, AnUnknownEngineLeavingIsNothing) {
  TestTasks tasks;
  EXPECT_EQ(tasks.leave("x"), nothing());
}

TEST(TaskEngineLost, AnEngineThatComesBackGetsTasksAgain) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.leave("a");
  tasks.join("a");
  EXPECT_EQ(tasks.submit("u"), Lines{"send u to a"});
  EXPECT_EQ(tasks.succeed("t", "a"), Lines{"forward t from a: good"})
      << "within the grace the old task still counts";
  EXPECT_EQ(tasks.machine().load_of("a"), 1U);
}

// ---- replies that nobody waits for --------------------------------------------------------------

TEST(TaskReply, OfAnotherEngineIsDropped) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t");
  EXPECT_EQ(tasks.succeed("t", "a"), dropped("a"));
  EXPECT_EQ(tasks.succeed("t", "b"), Lines{"forward t from b: good"});
}

TEST(TaskReply, ForAnUnknownOrWaitingOrFinishedTaskIsDropped) {
  TestTasks tasks;
  tasks.join("a");
  EXPECT_EQ(tasks.succeed("never", "a"), dropped("a"));
  tasks.submit("t");
  tasks.submit("waiting");
  EXPECT_EQ(tasks.succeed("waiting", "a"), dropped("a"));
  EXPECT_EQ(tasks.succeed("waiting", ""), dropped(""))
      << "a waiting task has no engine, not even a nameless one";
  tasks.succeed("t", "a");
  EXPECT_EQ(tasks.succeed("t", "a"), dropped("a"));
}

TEST(TaskReply, ItsEnginesNameCannotForgeALogLine) {
  TestTasks tasks;
  EXPECT_EQ(tasks.succeed("t", "x\ny"), dropped("x?y"));
}

TEST(TaskReply, OfAnEngineWhereTheTaskFailedBeforeIsDropped) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t", {.retries = 1});
  tasks.error("t", "b");
  EXPECT_EQ(tasks.error("t", "b"), dropped("b"));
}

// ---- undeliverable ------------------------------------------------------------------------------

TEST(TaskUndeliverableTest, TheTaskGoesToAnotherEngine) {
  TestTasks tasks;
  tasks.join("a");
  tasks.join("b");
  tasks.submit("t");
  EXPECT_EQ(tasks.undeliverable("t"),
            (Lines{"log: task::engine 'b' cannot be reached; its task goes to another one",
                   "assign t to a"}));
  EXPECT_EQ(tasks.machine().load_of("b"), 0U);
  EXPECT_EQ(tasks.undeliverable("t").size(), 1U) << "no engine is left: the task waits";
  EXPECT_EQ(tasks.join("c"), Lines{"assign t to c"});
}

TEST(TaskUndeliverableTest, ATargetThatCannotBeReachedIsImpossible) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t", {.targets = {"a"}});
  EXPECT_EQ(tasks.undeliverable("t").at(1), "fail t: ImpossibleDependency");
}

TEST(TaskUndeliverableTest, TheFreedEngineTakesTheNextTask) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("t");
  tasks.submit("u");
  EXPECT_EQ(tasks.undeliverable("t").at(1), "assign u to a");
}

TEST(TaskUndeliverableTest, ForATaskThatDoesNotRunItIsNothing) {
  TestTasks tasks;
  EXPECT_EQ(tasks.undeliverable("never"), nothing());
  tasks.submit("waiting");
  EXPECT_EQ(tasks.undeliverable("waiting"), nothing());
  tasks.join("a");
  tasks.leave("a");  // orphaned
  EXPECT_EQ(tasks.undeliverable("waiting"), nothing());
}

// ---- size ---------------------------------------------------------------------------------------

TEST(TaskQueue, ManyTasksThatTimedOutLeaveNoQueueBehind) {
  TestTasks tasks;
  tasks.join("a");
  tasks.submit("busy", {.targets = {"a"}});
  for (int i = 0; i < 2000; ++i) {
    tasks.submit("t" + std::to_string(i), {.targets = {"a"}, .timeout_ms = 1});
    if (i % 50 == 49) {
      tasks.wait(1);
    }
  }
  EXPECT_EQ(tasks.machine().task_count(), 1U);
  EXPECT_EQ(tasks.succeed("busy", "a"), Lines{"forward busy from a: good"});
}

}  // namespace
}  // namespace ipf
