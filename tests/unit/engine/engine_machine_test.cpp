#include "engine/engine_machine.hpp"

#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/engine/engine_testing.hpp"

namespace ipf::engine {
namespace {

using test::count;
using test::Engine;
using test::without_notes;

Actions aborted(std::uint64_t token) {
  return {PublishBusy{{token}}, SendAborted{{token}}, PublishIdle{{token}}};
}

// ---- registration -------------------------------------------------------------------------------

TEST(EngineMachineTest, AsksForAnIdAndConnectsWithIt) {
  Engine engine;
  EXPECT_EQ(engine.feed(EngineStarted{}), Actions{SendRegistration{}});
  const Actions actions =
      engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(actions, (Actions{ConnectSockets{EngineId{3}}, PublishStarting{}}));
}

TEST(EngineMachineTest, AKernelWithoutAControllerServesAtOnceAndWaitsForNoPing) {
  Engine engine;
  EXPECT_EQ(engine.feed(KernelOpened{}), (Actions{ConnectSockets{EngineId{0}}, PublishStarting{}}));
  engine.feed(ShellStarted{});
  EXPECT_EQ(engine.machine.next_deadline(), TimePoint::never());
  EXPECT_EQ(engine.execute(1), (Actions{Execute{{1}}, PublishBusy{{1}}}));
}

TEST(EngineMachineTest, PythonAnswersBesideWhatRuns) {
  Engine engine;
  engine.feed(EngineStarted{});
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(count<SendFailure>(engine.control(1, ShellInquiry{})), 1U);  // no shell yet
  engine.feed(ShellStarted{});
  engine.apply(2);
  EXPECT_EQ(engine.control(3, ShellInquiry{}), (Actions{PublishBusy{{3}}, AskBeside{{3}}}));
  EXPECT_EQ(engine.feed(BesideAnswered{{3}}), (Actions{SendResult{{3}}, PublishIdle{{3}}}));
  engine.control(4, ShellInquiry{});
  engine.feed(TerminationRequested{});
  EXPECT_EQ(engine.feed(BesideAnswered{{4}}), Actions{});
}

TEST(EngineMachineTest, NoticesAreNeverAborted) {
  Engine engine;
  engine.serving().apply(1);
  engine.feed(RequestArrived{.token = {2}, .kind = RequestKind::notice, .msg_id = "n"});
  engine.feed(RequestArrived{.token = {3}, .kind = RequestKind::inquiry, .msg_id = "i"});
  Actions expected{PublishBusy{{4}}, SendOk{{4}}, PublishIdle{{4}}};
  test::append(expected, aborted(3));
  EXPECT_EQ(engine.control(4, Abort{}), expected);
}

TEST(EngineMachineTest, PingsAreAnsweredOnlyWhenTheShellIsThere) {
  Engine engine;
  engine.feed(EngineStarted{});
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{});
  engine.feed(ShellStarted{});
  const Actions first = engine.feed(PingArrived{});
  EXPECT_EQ(without_notes(first), Actions{AnswerPing{}});
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(std::get<Note>(first[1]).text, "Completed registration with id 3");
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{AnswerPing{}});
}

TEST(EngineMachineTest, TheShellMayBeThereBeforeTheId) {
  Engine engine;
  engine.feed(EngineStarted{});
  EXPECT_EQ(engine.feed(ShellStarted{}), Actions{});
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(without_notes(engine.feed(PingArrived{})), Actions{AnswerPing{}});
}

TEST(EngineMachineTest, AnUnansweredRegistrationSaysWhyItWaitsAndEnds) {
  Engine engine({.registration_timeout = std::chrono::seconds(12)});
  engine.feed(EngineStarted{});
  EXPECT_EQ(count<Note>(engine.pass_deadline()), 1U);
  EXPECT_EQ(count<Note>(engine.pass_deadline()), 1U);
  const Actions end = engine.pass_deadline();
  EXPECT_EQ(without_notes(end), (Actions{SendUnregistration{}, StopPython{}}));
  EXPECT_EQ(engine.feed(PythonStopped{}), (Actions{Leave{.status = 255, .python_stopped = true}}));
}

TEST(EngineMachineTest, ARefusedRegistrationEndsWith255) {
  Engine engine;
  engine.feed(EngineStarted{});
  EXPECT_EQ(without_notes(engine.feed(RegistrationRefused{"uuid in use"})), Actions{StopPython{}});
  EXPECT_EQ(engine.feed(PythonStopped{}), (Actions{Leave{.status = 255, .python_stopped = true}}));
}

TEST(EngineMachineTest, ANewConnectionFileStartsTheWaitAgain) {
  Engine engine({.registration_timeout = std::chrono::seconds(10)});
  engine.feed(EngineStarted{});
  engine.now_ms += 9000;
  EXPECT_EQ(without_notes(engine.feed(ConnectionReplaced{})), Actions{SendRegistration{}});
  engine.now_ms += 9000;
  EXPECT_EQ(count<SendUnregistration>(engine.feed(TimePassed{})), 0U);
}

TEST(EngineMachineTest, ASecondRegistrationReplyIsIgnored) {
  Engine engine;
  engine.serving();
  EXPECT_EQ(without_notes(engine.feed(RegistrationAccepted{.id = EngineId{9}})), Actions{});
  EXPECT_EQ(without_notes(engine.feed(RegistrationRefused{"late"})), Actions{});
}

TEST(EngineMachineTest, AShellThatFailsUnregistersAndFails) {
  Engine engine;
  engine.feed(EngineStarted{});
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(without_notes(engine.feed(ShellFailed{})),
            (Actions{SendUnregistration{EngineId{3}}, StopPython{}}));
  EXPECT_EQ(engine.feed(PythonStopped{}), (Actions{Leave{.status = 1, .python_stopped = true}}));
}

// ---- heart --------------------------------------------------------------------------------------

TEST(EngineMachineTest, ASilentControllerIsGivenUpAfterTheMissesInARow) {
  Engine engine({.missed_pings_max = 3});
  engine.serving();
  EXPECT_EQ(engine.pass_deadline(), Actions{});
  EXPECT_EQ(engine.pass_deadline(), Actions{});
  engine.feed(PingArrived{});
  EXPECT_EQ(engine.pass_deadline(), Actions{});
  EXPECT_EQ(engine.pass_deadline(), Actions{});
  EXPECT_EQ(without_notes(engine.pass_deadline()),
            (Actions{SendUnregistration{EngineId{3}}, StopPython{}}));
}

TEST(EngineMachineTest, AMachineThatSleptMissedOnePingOnly) {
  Engine engine({.missed_pings_max = 3});
  engine.serving();
  engine.now_ms += 3'600'000;
  EXPECT_EQ(without_notes(engine.feed(TimePassed{})), Actions{});
  EXPECT_EQ(without_notes(engine.pass_deadline()), Actions{});
}

TEST(EngineMachineTest, ZeroMissesMeansAnyNumber) {
  Engine engine({.missed_pings_max = 0, .reconnect_timeout = Duration{}});
  engine.serving();
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(without_notes(engine.pass_deadline()), Actions{});
  }
}

// ---- requests -----------------------------------------------------------------------------------

TEST(EngineMachineTest, AnIdleEngineExecutesAtOnce) {
  Engine engine;
  EXPECT_EQ(engine.serving().apply(1), (Actions{Execute{{1}}, PublishBusy{{1}}}));
  EXPECT_EQ(engine.finish(1), (Actions{SendResult{{1}}, PublishIdle{{1}}}));
}

TEST(EngineMachineTest, TheNextRequestIsHandedOverBeforeTheReplyIsBuilt) {
  Engine engine;
  engine.serving().apply(1);
  EXPECT_EQ(engine.apply(2), Actions{});
  EXPECT_EQ(engine.finish(1),
            (Actions{Execute{{2}}, SendResult{{1}}, PublishIdle{{1}}, PublishBusy{{2}}}));
}

TEST(EngineMachineTest, RequestsBeforeTheShellWaitForIt) {
  Engine engine;
  engine.feed(EngineStarted{});
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(engine.apply(1), Actions{});
  EXPECT_EQ(engine.feed(ShellStarted{}), (Actions{Execute{{1}}, PublishBusy{{1}}}));
}

TEST(EngineMachineTest, NativeRequestsAreAnsweredInTheirTurn) {
  Engine engine;
  const Actions answer{PublishBusy{{2}}, SendAnswer{{2}}, PublishIdle{{2}}};
  EXPECT_EQ(engine.serving().feed(RequestArrived{.token = {2}, .msg_id = "n"}), answer);
  engine.apply(3);
  EXPECT_EQ(engine.feed(RequestArrived{.token = {4}, .msg_id = "n"}), Actions{});
  engine.apply(5);
  EXPECT_EQ(engine.finish(3),
            (Actions{SendResult{{3}}, PublishIdle{{3}}, PublishBusy{{4}}, SendAnswer{{4}},
                     PublishIdle{{4}}, Execute{{5}}, PublishBusy{{5}}}));
}

TEST(EngineMachineTest, AFullQueueIsAnError) {
  Engine engine({.work = {.queue_max = 1}});
  engine.serving().apply(1);
  engine.apply(2);
  const Actions refused = engine.apply(3);
  ASSERT_EQ(refused.size(), 3U);
  EXPECT_EQ(std::get<SendFailure>(refused[1]).token, RequestToken{3});
}

TEST(EngineMachineTest, AFailedExecuteAbortsWaitingExecutesOnly) {
  Engine engine;
  engine.serving().execute(1);
  engine.execute(2);
  engine.apply(3);
  engine.execute(4);
  Actions expected{Execute{{3}}, SendResult{{1}}, PublishIdle{{1}}};
  test::append(expected, aborted(2));
  test::append(expected, aborted(4));
  expected.emplace_back(PublishBusy{{3}});
  EXPECT_EQ(engine.finish(1, true), expected);
}

// ---- abort --------------------------------------------------------------------------------------

TEST(EngineMachineTest, AbortAnswersWhatWaitsAtOnceAndLeavesWhatRuns) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.apply(2, "b");
  engine.apply(3, "c");
  Actions expected{PublishBusy{{9}}, SendOk{{9}}, PublishIdle{{9}}};
  test::append(expected, aborted(2));
  EXPECT_EQ(engine.control(9, Abort{{"a", "b"}}), expected);
  EXPECT_EQ(engine.finish(1),
            (Actions{Execute{{3}}, SendResult{{1}}, PublishIdle{{1}}, PublishBusy{{3}}}));
}

TEST(EngineMachineTest, AnEmptyAbortEmptiesTheQueue) {
  Engine engine;
  engine.serving().apply(1);
  engine.apply(2);
  engine.execute(3);
  EXPECT_EQ(count<SendAborted>(engine.control(9, Abort{})), 2U);
  EXPECT_EQ(engine.machine.queued(), 0U);
}

TEST(EngineMachineTest, AnAbortThatComesFirstHitsTheLaterRequestOnce) {
  Engine engine;
  engine.serving().control(9, Abort{{"x"}});
  EXPECT_EQ(engine.apply(1, "x"), aborted(1));
  EXPECT_EQ(engine.apply(2, "x"), (Actions{Execute{{2}}, PublishBusy{{2}}}));
}

/// What the scheduler moved it may give back; what a client aborted is aborted.
TEST(EngineMachineTest, OnlyWhatWasMovedMayComeOnceMore) {
  Engine engine;
  engine.serving().apply(1, "runs");
  engine.apply(2, "moved");
  engine.apply(3, "aborted");
  const auto ends = [](const Actions& actions) {
    std::vector<SendAborted> out;
    for (const auto& action : actions) {
      if (const auto* end = std::get_if<SendAborted>(&action)) {
        out.push_back(*end);
      }
    }
    return out;
  };
  using Ends = std::vector<SendAborted>;
  EXPECT_EQ(ends(engine.control(9, Abort{.msg_ids = {"moved", "late", "both"}, .moved = true})),
            (Ends{{.token = {2}, .moved = true}}));
  EXPECT_EQ(ends(engine.control(9, Abort{.msg_ids = {"aborted", "both"}})), (Ends{{{3}}}));
  EXPECT_EQ(ends(engine.apply(4, "late")), (Ends{{.token = {4}, .moved = true}}));
  EXPECT_EQ(ends(engine.apply(5, "both")), (Ends{{{5}}}));
}

TEST(EngineMachineTest, AllRequestsWithOneIdAreAborted) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.apply(2, "same");
  engine.apply(3, "same");
  EXPECT_EQ(count<SendAborted>(engine.control(9, Abort{{"same"}})), 2U);
  EXPECT_EQ(engine.apply(4, "same"), Actions{}) << "the id was found, so it is not remembered";
}

TEST(EngineMachineTest, OnlyTheLastIdsToAbortAreRemembered) {
  Engine engine({.work = {.abort_ids_max = 2}});
  engine.serving().control(9, Abort{{"a", "b", "c"}});
  EXPECT_EQ(count<SendAborted>(engine.apply(1, "a")), 0U);
  EXPECT_EQ(count<SendAborted>(engine.apply(2, "b")), 1U);
  EXPECT_EQ(count<SendAborted>(engine.apply(3, "c")), 1U);
}

// ---- other control requests
// -----------------------------------------------------------------------

TEST(EngineMachineTest, ClearRunsBeforeTheQueueGoesOn) {
  Engine engine;
  engine.serving().apply(1);
  engine.apply(2);
  EXPECT_EQ(engine.control(9, ClearNamespace{}), Actions{PublishBusy{{9}}});
  EXPECT_EQ(engine.finish(1), (Actions{SendResult{{1}}, PublishIdle{{1}}, Clear{{9}}}));
  EXPECT_EQ(engine.finish(9),
            (Actions{Execute{{2}}, SendResult{{9}}, PublishIdle{{9}}, PublishBusy{{2}}}));
}

TEST(EngineMachineTest, AnInterruptNeedsSomethingToInterrupt) {
  Engine engine;
  const Actions ok{PublishBusy{{8}}, SendOk{{8}}, PublishIdle{{8}}};
  EXPECT_EQ(engine.serving().control(8, Signal{2}), ok);
  EXPECT_EQ(engine.control(8, InterruptWork{}), ok);
  engine.apply(1);
  Actions interrupting = ok;
  interrupting.emplace_back(Interrupt{});
  EXPECT_EQ(engine.control(8, Signal{2}), interrupting);
  EXPECT_EQ(engine.control(8, InterruptWork{}), interrupting);
}

TEST(EngineMachineTest, OtherSignalsAreRaisedAfterTheReplyHadTimeToLeave) {
  Engine engine;
  EXPECT_EQ(engine.serving().control(8, Signal{9}),
            (Actions{PublishBusy{{8}}, SendOk{{8}}, PublishIdle{{8}}}));
  EXPECT_EQ(engine.pass_deadline(), Actions{RaiseSignal{9}});
}

TEST(EngineMachineTest, RefusalsAndInquiriesAreAnsweredWhileWorkRuns) {
  Engine engine;
  engine.serving().apply(1);
  EXPECT_EQ(engine.control(5, Inquiry{}),
            (Actions{PublishBusy{{5}}, SendAnswer{{5}}, PublishIdle{{5}}}));
  EXPECT_EQ(engine.control(6, Refusal{"ValueError", "no"}),
            (Actions{PublishBusy{{6}}, SendFailure{{6}, "ValueError", "no"}, PublishIdle{{6}}}));
  EXPECT_EQ(engine.control(7, Unanswered{}), (Actions{PublishBusy{{7}}, PublishIdle{{7}}}));
}

// ---- the end ------------------------------------------------------------------------------------

TEST(EngineMachineTest, ShutdownIsAnnouncedAndPythonStopped) {
  Engine engine;
  EXPECT_EQ(without_notes(engine.serving().control(4, Shutdown{.restart = true})),
            (Actions{PublishBusy{{4}}, AnnounceShutdown{{4}, true}, PublishIdle{{4}},
                     StopPython{.restart = true}}));
  EXPECT_EQ(engine.apply(5), Actions{});
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{});
  EXPECT_EQ(engine.feed(PythonStopped{}), (Actions{Leave{.status = 0, .python_stopped = true}}));
  EXPECT_TRUE(engine.machine.left());
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{});
}

TEST(EngineMachineTest, RunningCodeIsInterruptedAndNotWaitedForLongerThanTheGrace) {
  Engine engine({.stop_grace = std::chrono::milliseconds(700)});
  engine.serving().apply(1);
  engine.apply(2);
  EXPECT_EQ(without_notes(engine.feed(TerminationRequested{"SIGTERM"})),
            (Actions{SendUnregistration{EngineId{3}}, StopPython{}, Interrupt{}}));
  EXPECT_EQ(engine.machine.queued(), 0U);
  EXPECT_EQ(engine.machine.next_deadline(), test::at_ms(engine.now_ms + 700));
  EXPECT_EQ(engine.pass_deadline(), (Actions{Leave{.status = 0, .python_stopped = false}}));
}

TEST(EngineMachineTest, AResultAfterTheGoodByeIsNotSent) {
  Engine engine;
  engine.serving().apply(1);
  engine.feed(TerminationRequested{"SIGTERM"});
  EXPECT_EQ(engine.finish(1), Actions{});
}

TEST(EngineMachineTest, TerminationBeforeRegistrationTellsNobody) {
  Engine engine;
  engine.feed(EngineStarted{});
  EXPECT_EQ(without_notes(engine.feed(TerminationRequested{"SIGTERM"})), Actions{StopPython{}});
}

TEST(EngineMachineTest, APythonThatEndsByItselfIsAFailure) {
  Engine engine;
  EXPECT_EQ(without_notes(engine.serving().feed(PythonStopped{})),
            (Actions{SendUnregistration{EngineId{3}}, StopPython{},
                     Leave{.status = 1, .python_stopped = true}}));
}

// ---- random histories ---------------------------------------------------------------------------

/// Plays Python and the clients at random; checks what every history must keep.
class RandomHistory {
 public:
  explicit RandomHistory(std::uint64_t seed)
      : rng_(seed),
        engine_({.missed_pings_max = 5, .work = {.queue_max = 8, .abort_ids_max = 4}}) {}

  void run(int steps) {
    take(engine_.feed(EngineStarted{}));
    for (int i = 0; i < steps && !engine_.machine.left(); ++i) {
      step();
    }
    if (!engine_.machine.left()) {
      settle();
    }
  }

 private:
  enum class State { arrived, busy, replied, done };

  void step() {
    engine_.now_ms += static_cast<std::int64_t>(rng_.below(200));
    switch (rng_.below(16)) {
      case 0:
        take(engine_.feed(
            RegistrationAccepted{.id = EngineId{1}, .ping_period = std::chrono::seconds(1)}));
        break;
      case 1:
        if (!shell_) {
          shell_ = true;
          take(engine_.feed(ShellStarted{}));
        }
        break;
      case 2:
      case 3:
        take(engine_.feed(PingArrived{}));
        break;
      case 4:
        take(engine_.feed(TimePassed{}));
        break;
      case 5:
        control();
        break;
      case 6:
        if (rng_.below(60) == 0) {
          stopping_ = true;
          take(engine_.feed(TerminationRequested{"test"}));
        }
        break;
      case 7:
      case 8:
      case 9:
      case 10:
        finish();
        break;
      default:
        request();
    }
  }

  void request() {
    const std::uint64_t token = next_++;
    state_[token] = State::arrived;
    const auto kind = static_cast<RequestKind>(rng_.below(5));
    take(engine_.feed(RequestArrived{.token = {token}, .kind = kind, .msg_id = some_id()}));
  }

  void control() {
    const std::uint64_t token = next_++;
    state_[token] = State::arrived;
    const std::vector<ControlRequest> choices{Abort{},          Abort{{some_id(), some_id()}},
                                              ClearNamespace{}, InterruptWork{},
                                              Inquiry{},        Signal{10},
                                              Refusal{"E", ""}};
    take(engine_.control(token, choices[rng_.below(choices.size())]));
  }

  void finish() {
    if (running_ == 0) {
      return;
    }
    const std::uint64_t token = running_;
    running_ = 0;
    take(engine_.finish(token, rng_.below(3) == 0));
  }

  /// Everything that arrived must come to its end.
  void settle() {
    take(engine_.feed(
        RegistrationAccepted{.id = EngineId{1}, .ping_period = std::chrono::seconds(1)}));
    if (!shell_) {
      take(engine_.feed(ShellStarted{}));
    }
    while (running_ != 0) {
      finish();
    }
    if (stopping_) {
      return;
    }
    for (const auto& [token, state] : state_) {
      EXPECT_EQ(state, State::done) << "token " << token;
    }
  }

  void take(const Actions& actions) {
    for (const auto& action : actions) {
      std::visit([this](const auto& known) { on(known); }, action);
    }
  }

  void move(RequestToken token, State from, State to) {
    ASSERT_EQ(state_.at(token.value), from) << "token " << token.value;
    state_[token.value] = to;
  }
  void begin(RequestToken token) {
    ASSERT_EQ(running_, 0U) << "two requests at once";
    running_ = token.value;
  }
  void on(const PublishBusy& action) { move(action.token, State::arrived, State::busy); }
  void on(const PublishIdle& action) { move(action.token, State::replied, State::done); }
  void on(const SendResult& action) { move(action.token, State::busy, State::replied); }
  void on(const SendAborted& action) { move(action.token, State::busy, State::replied); }
  void on(const SendAnswer& action) { move(action.token, State::busy, State::replied); }
  void on(const SendOk& action) { move(action.token, State::busy, State::replied); }
  void on(const SendFailure& action) { move(action.token, State::busy, State::replied); }
  void on(const Execute& action) {
    EXPECT_GT(action.token.value, last_executed_) << "out of order";
    last_executed_ = action.token.value;
    begin(action.token);
  }
  void on(const Clear& action) { begin(action.token); }
  void on(const StopPython& /*action*/) { stopping_ = true; }
  template <class Other>
  void on(const Other& /*action*/) {}

  std::string some_id() { return "id" + std::to_string(rng_.below(12)); }

  Rng rng_;
  Engine engine_;
  std::map<std::uint64_t, State> state_{};
  std::uint64_t next_{1};
  std::uint64_t running_{};
  std::uint64_t last_executed_{};
  bool shell_{};
  bool stopping_{};
};

TEST(EngineMachineTest, RandomHistoriesKeepEveryPromise) {
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    RandomHistory(seed).run(300);
    if (testing::Test::HasFailure()) {
      return;
    }
  }
}

}  // namespace
}  // namespace ipf::engine
