#include <gtest/gtest.h>

#include "engine/engine_machine.hpp"
#include "unit/engine/engine_testing.hpp"

namespace ipf::engine {
namespace {

using test::count;
using test::Engine;
using test::without_notes;

/// The ping period is 3 s: 7 s of silence are suspicious.
constexpr int silence_ms = 10'000;

TEST(EngineMachineReconnectTest, AConnectionThatCameBackAsksAndKnownIsAGoodAnswer) {
  Engine engine;
  engine.serving().apply(1, "a");
  EXPECT_EQ(without_notes(engine.feed(ConnectionCameBack{})), Actions{SendRegistration{true}});
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{});
  EXPECT_EQ(without_notes(engine.feed(RegistrationRefused{.reason = "in use", .known = true})),
            Actions{ConnectSockets{EngineId{3}}});
  EXPECT_EQ(count<AnswerPing>(engine.feed(PingArrived{})), 1U);
  EXPECT_EQ(engine.finish(1), (Actions{SendResult{{1}}, PublishIdle{{1}}}));
}

TEST(EngineMachineReconnectTest, AnotherControllerMayGiveAnotherId) {
  Engine engine;
  engine.serving().feed(ConnectionReplaced{});
  const Actions actions =
      engine.feed(RegistrationAccepted{.id = EngineId{5}, .ping_period = std::chrono::seconds(3)});
  EXPECT_EQ(without_notes(actions), Actions{ConnectSockets{EngineId{5}}});
  EXPECT_EQ(count<Note>(actions), 1U);
  EXPECT_EQ(engine.machine.id(), EngineId{5});
}

TEST(EngineMachineReconnectTest, AfterASilenceItAsksBeforeItAnswersPings) {
  Engine engine;
  engine.serving();
  engine.feed(PingArrived{});
  engine.now_ms += silence_ms;
  EXPECT_EQ(without_notes(engine.feed(PingArrived{})), Actions{SendRegistration{}});
  EXPECT_TRUE(engine.machine.misses_controller());
  engine.feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
  EXPECT_FALSE(engine.machine.misses_controller());
  EXPECT_EQ(engine.feed(PingArrived{}), Actions{AnswerPing{}});
}

TEST(EngineMachineReconnectTest, PingsAreHeldBackForASecondOnly) {
  Engine engine;
  engine.serving().feed(ConnectionCameBack{});
  engine.now_ms += 1001;
  EXPECT_EQ(count<AnswerPing>(engine.feed(PingArrived{})), 1U);
}

TEST(EngineMachineReconnectTest, ItAsksAgainMoreAndMoreSlowly) {
  Engine engine({.reconnect_timeout = Duration{}});
  engine.serving().feed(ConnectionCameBack{});
  std::vector<std::int64_t> asked;
  while (engine.now_ms < 60'000) {
    if (count<SendRegistration>(engine.pass_deadline()) > 0) {
      asked.push_back(engine.now_ms);
    }
  }
  ASSERT_GE(asked.size(), 6U);
  EXPECT_EQ(asked[0], 2000);
  EXPECT_EQ(asked[1], 4000);
  EXPECT_EQ(asked[2], 8000);
  EXPECT_EQ(asked[5] - asked[4], 10'000);
}

TEST(EngineMachineReconnectTest, ItGivesUpAfterTheTimeoutAndSaysWhy) {
  Engine engine({.reconnect_timeout = std::chrono::seconds(30)});
  engine.serving().feed(PingArrived{});
  const auto since = engine.now_ms;
  Actions last;
  while (!engine.machine.left() && count<StopPython>(last) == 0) {
    ASSERT_LT(engine.now_ms, since + 60'000);
    last = engine.pass_deadline();
  }
  EXPECT_GE(engine.now_ms, since + 30'000);
  ASSERT_EQ(count<Note>(last), 1U);
  EXPECT_NE(std::get<Note>(last[0]).text.find("--reconnect-timeout"), std::string::npos);
}

}  // namespace
}  // namespace ipf::engine
