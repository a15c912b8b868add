#include <gtest/gtest.h>

#include "engine/engine_machine.hpp"
#include "unit/engine/engine_testing.hpp"

namespace ipf::engine {
namespace {

using test::count;
using test::Engine;
using test::without_notes;

ControlRequest cancel(const std::string& msg_id, Duration grace = std::chrono::seconds(1)) {
  return Cancel{.msg_id = msg_id, .grace = grace};
}

TEST(EngineMachineCancelTest, ARunningRequestIsInterruptedAndTheCancelWaitsForItsEnd) {
  Engine engine;
  engine.serving().apply(1, "a");
  EXPECT_EQ(engine.control(2, cancel("a")), (Actions{PublishBusy{{2}}, Interrupt{}}));
  EXPECT_EQ(engine.feed(RequestFinished{.token = {1}, .failed = true}),
            (Actions{SendCancelled{{2}, "interrupted"}, PublishIdle{{2}}, SendResult{{1}},
                     PublishIdle{{1}}}));
  engine.now_ms += 5000;
  EXPECT_EQ(count<Leave>(engine.feed(TimePassed{})), 0U);
}

TEST(EngineMachineCancelTest, ItSaysWhenTheRequestFinishedAllTheSame) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.control(2, cancel("a"));
  EXPECT_EQ(count<SendCancelled>(engine.finish(1)), 1U);
}

TEST(EngineMachineCancelTest, AWaitingRequestIsAbortedAndAnUnknownOneWhenItComes) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.apply(2, "b");
  EXPECT_EQ(engine.control(3, cancel("b")),
            (Actions{PublishBusy{{3}}, PublishBusy{{2}}, SendAborted{{2}}, PublishIdle{{2}},
                     SendCancelled{{3}, "dequeued"}, PublishIdle{{3}}}));
  EXPECT_EQ(engine.control(4, cancel("c")),
            (Actions{PublishBusy{{4}}, SendCancelled{{4}, "unknown"}, PublishIdle{{4}}}));
  EXPECT_EQ(count<SendAborted>(engine.apply(5, "c")), 1U);
  EXPECT_TRUE(engine.machine.busy());
}

TEST(EngineMachineCancelTest, AfterTheGraceTheEngineEndsWithALastWordAndIsStartedAgain) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.control(2, cancel("a"));
  engine.control(3, cancel("a", Duration{-1}));
  const Actions actions = without_notes(engine.pass_deadline());
  ASSERT_EQ(actions.size(), 8U);
  EXPECT_EQ(actions[0], Action(SendCancelled{{2}, "killed"}));
  EXPECT_EQ(actions[2], Action(SendCancelled{{3}, "killed"}));
  EXPECT_EQ(actions[4], Action(StopPython{.restart = true}));
  EXPECT_EQ(std::get<SendFailure>(actions[5]).ename, "EngineError");
  EXPECT_EQ(actions[6], Action(PublishIdle{{1}}));
  EXPECT_EQ(actions[7], Action(Leave{.status = 0, .python_stopped = false}));
  EXPECT_TRUE(engine.machine.left());
}

TEST(EngineMachineCancelTest, ANegativeGraceNeverEndsTheEngine) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.control(2, cancel("a", Duration{-1}));
  for (int i = 0; i < 10; ++i) {
    engine.now_ms += 1000;
    engine.feed(PingArrived{});
    EXPECT_EQ(count<Leave>(engine.feed(TimePassed{})), 0U);
  }
}

TEST(EngineMachineCancelTest, AnOrderToEndIsTheLastWordOfWhatRuns) {
  Engine engine;
  engine.serving().apply(1, "a");
  engine.apply(2, "b");
  EXPECT_EQ(engine.feed(EndOrdered{.reason = "too much memory"}),
            (Actions{SendFailure{{1}, "EngineError", "too much memory"}, PublishIdle{{1}},
                     Leave{.status = 1, .python_stopped = false}}));
  Engine idle;
  EXPECT_EQ(idle.serving().feed(EndOrdered{.reason = "too much memory"}),
            Actions{(Leave{.status = 1, .python_stopped = false})});
}

}  // namespace
}  // namespace ipf::engine
