#include "hub/heartbeat_machine.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using test::ms;

constexpr std::int64_t period = 1000;

class HeartbeatMachineTest : public testing::Test {
 protected:
  void TearDown() override { machine.check_invariants(); }

  std::string beat(std::int64_t now) {
    auto text = machine.beat(at_ms(now), events);
    machine.check_invariants();
    return text;
  }
  void pong(const std::string& uuid, const std::string& text, std::int64_t now) {
    machine.pong(uuid, text, at_ms(now), events);
    machine.check_invariants();
  }
  /// Registers a heart and has it answer.
  void start(const std::string& uuid, std::int64_t now) {
    ASSERT_TRUE(machine.expect(uuid, at_ms(now)));
    pong(uuid, beat(now), now);
    events.clear();
  }
  /// Beats at each deadline until `end`; `alive` answer each ping.
  std::int64_t run(std::int64_t end, const std::vector<std::string>& alive = {}) {
    while (machine.next_deadline() <= at_ms(end)) {
      const TimePoint now = machine.next_deadline();
      const auto text = machine.beat(now, events);
      for (const auto& uuid : alive) {
        machine.pong(uuid, text, now, events);
      }
      machine.check_invariants();
    }
    return end;
  }
  [[nodiscard]] std::vector<std::string> started() const {
    std::vector<std::string> out;
    for (const auto& event : events) {
      if (const auto* one = std::get_if<HeartStarted>(&event)) {
        out.push_back(one->uuid);
      }
    }
    return out;
  }
  [[nodiscard]] std::vector<std::string> stopped() const {
    std::vector<std::string> out;
    for (const auto& event : events) {
      if (const auto* one = std::get_if<HeartStopped>(&event)) {
        out.push_back(one->uuid);
      }
    }
    return out;
  }

  template <class Event>
  [[nodiscard]] std::vector<std::string> uuids_of() const {
    std::vector<std::string> out;
    for (const auto& event : events) {
      if (const auto* one = std::get_if<Event>(&event)) {
        out.push_back(one->uuid);
      }
    }
    return out;
  }

  HeartbeatMachine machine{
      {.period = ms(period), .misses_max = 3, .pings_max = 64, .hearts_max = 100}, at_ms(0)};
  HeartbeatMachine::Events events;
  using Names = std::vector<std::string>;
};

TEST_F(HeartbeatMachineTest, TheFirstPongIsReportedAtOnce) {
  const auto text = beat(0);
  ASSERT_TRUE(machine.expect("a", at_ms(10)));
  pong("a", text, 11);
  EXPECT_EQ(started(), Names{"a"});
  pong("a", text, 12);
  EXPECT_EQ(started(), Names{"a"});
}

TEST_F(HeartbeatMachineTest, AnExpectedHeartIsPingedSoonNotAtTheEndOfThePeriod) {
  beat(0);
  EXPECT_EQ(machine.next_deadline(), at_ms(period));
  machine.expect("a", at_ms(100));
  EXPECT_EQ(machine.next_deadline(), at_ms(120));
  EXPECT_NE(beat(120), "");
  EXPECT_LT(machine.next_deadline(), at_ms(160));
}

TEST_F(HeartbeatMachineTest, AHeartThatStartsAnyTimeIsSeenWithinAQuarterOfItsWait) {
  for (const std::int64_t delay : {30, 100, 400, 1500, 6000}) {
    const std::string uuid = "after" + std::to_string(delay);
    const std::int64_t begin = machine.next_deadline().nanoseconds / 1'000'000 + 1;
    run(begin);
    machine.expect(uuid, at_ms(begin));
    run(begin + delay);
    const auto wait = machine.next_deadline() - at_ms(begin + delay);
    EXPECT_LE(wait, std::min(ms(20 + delay / 4), ms(500))) << delay;
    const auto text = machine.beat(machine.next_deadline(), events);
    machine.pong(uuid, text, at_ms(begin + delay), events);
    EXPECT_EQ(started().back(), uuid);
  }
}

TEST_F(HeartbeatMachineTest, ASilentHeartIsSuspectedBeforeItIsGivenUp) {
  start("a", 0);
  start("b", 50);
  run(3 * period + 100, {"b"});
  EXPECT_EQ(uuids_of<HeartSuspected>(), Names{"a"});
  EXPECT_TRUE(stopped().empty());
  run(4 * period + 200, {"a", "b"});
  EXPECT_EQ(uuids_of<HeartTrusted>(), Names{"a"});
  EXPECT_TRUE(stopped().empty());
}

TEST_F(HeartbeatMachineTest, AHeartThatStoppedMayReturn) {
  start("a", 0);
  run(10 * period);
  ASSERT_EQ(stopped(), Names{"a"});
  const auto text = machine.beat(machine.next_deadline(), events);
  events.clear();
  machine.pong("a", "an old ping", at_ms(11 * period), events);
  EXPECT_TRUE(events.empty());
  machine.pong("a", text, at_ms(11 * period), events);
  EXPECT_EQ(uuids_of<HeartReturned>(), Names{"a"});
  machine.check_invariants();
  events.clear();
  run(12 * period, {"a"});
  EXPECT_TRUE(events.empty());
  run(30 * period);
  EXPECT_EQ(stopped(), Names{"a"}) << "and stop again";
}

TEST_F(HeartbeatMachineTest, AForgottenHeartDoesNotReturn) {
  start("a", 0);
  run(10 * period);
  machine.forget("a");
  const auto text = machine.beat(machine.next_deadline(), events);
  events.clear();
  machine.pong("a", text, at_ms(11 * period), events);
  EXPECT_TRUE(events.empty());
}

TEST_F(HeartbeatMachineTest, WithoutExpectedHeartsThereIsOnePingAPeriod) {
  start("a", 0);
  events.clear();
  int pings = 0;
  while (machine.next_deadline() <= at_ms(10 * period)) {
    const auto text = machine.beat(machine.next_deadline(), events);
    machine.pong("a", text, at_ms(0), events);
    ++pings;
  }
  EXPECT_EQ(pings, 10);
}

TEST_F(HeartbeatMachineTest, ASilentHeartStopsAfterMoreThanTheAllowedMisses) {
  start("a", 0);
  start("b", 30);
  run(4 * period + 900, {"b"});
  EXPECT_TRUE(stopped().empty());  // periods 1 to 3 after the first were silent: three misses
  run(5 * period + 900, {"b"});
  EXPECT_EQ(stopped(), Names{"a"});
  EXPECT_EQ(machine.heart_count(), 1U);
}

TEST_F(HeartbeatMachineTest, ASignOfLifeForgivesAllMisses) {
  start("a", 0);
  run(4 * period + 500);
  const auto text = beat(4 * period + 600);
  pong("a", text, 4 * period + 601);
  run(8 * period + 500);
  EXPECT_TRUE(stopped().empty());
}

TEST_F(HeartbeatMachineTest, APongForThePreviousBeatCounts) {
  start("a", 0);
  std::string previous = beat(period);
  for (int i = 2; i < 20; ++i) {
    const auto text = beat(i * period);
    pong("a", previous, i * period + 500);  // always one beat late
    previous = text;
  }
  EXPECT_TRUE(stopped().empty());
}

TEST_F(HeartbeatMachineTest, AnOlderPongIsIgnored) {
  start("a", 0);
  std::vector<std::string> sent{beat(period), beat(2 * period)};
  for (int i = 3; i < 9; ++i) {
    sent.push_back(beat(i * period));
    pong("a", sent[sent.size() - 3], i * period + 500);  // two beats late
  }
  EXPECT_EQ(stopped(), Names{"a"});
}

TEST_F(HeartbeatMachineTest, APongThatRepeatsNoPingIsIgnored) {
  const auto text = beat(0);
  machine.expect("a", at_ms(0));
  for (const auto& fake :
       {std::string("nonsense"), std::string(), text + "0", std::string("0.1")}) {
    pong("a", fake, 1);
  }
  EXPECT_TRUE(started().empty());
}

TEST_F(HeartbeatMachineTest, AFloodOfForeignPongsLeavesNothingBehind) {
  const auto text = beat(0);
  for (int i = 0; i < 100'000; ++i) {
    machine.pong("fake" + std::to_string(i), text, at_ms(1), events);
  }
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(machine.heart_count(), 0U);
}

TEST_F(HeartbeatMachineTest, HeartsAreLimited) {
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(machine.expect(std::to_string(i), at_ms(0)));
  }
  EXPECT_FALSE(machine.expect("one more", at_ms(0)));
  EXPECT_TRUE(machine.expect("7", at_ms(0)));
}

TEST_F(HeartbeatMachineTest, ManyRegistrationsAtOnceDoNotMakeManyPings) {
  int pings = 0;
  for (int i = 0; i < 1000; ++i) {
    machine.expect(std::to_string(i % 90), at_ms(i));
    pings += beat(i).empty() ? 0 : 1;
  }
  EXPECT_LE(pings, 51);
  EXPECT_GE(pings, 25);
}

TEST_F(HeartbeatMachineTest, AForgottenHeartIsNeitherStoppedNorStarted) {
  start("a", 0);
  machine.forget("a");
  machine.forget("never known");
  pong("a", beat(period), period);
  run(10 * period);
  EXPECT_TRUE(events.empty());
}

TEST_F(HeartbeatMachineTest, AnEngineThatNeverBeatIsNotReportedAsStopped) {
  machine.expect("a", at_ms(0));
  run(20 * period);
  EXPECT_TRUE(events.empty());
  EXPECT_EQ(machine.expected_count(), 1U);
}

TEST_F(HeartbeatMachineTest, AStoppedEngineThatRegistersAgainStartsAgain) {
  start("a", 0);
  run(6 * period);
  EXPECT_EQ(stopped(), Names{"a"});
  pong("a", beat(6 * period + 10), 6 * period + 10);  // it woke up, but nobody expects it
  EXPECT_TRUE(started().empty());
  machine.expect("a", at_ms(6 * period + 40));
  pong("a", beat(6 * period + 60), 6 * period + 60);
  EXPECT_EQ(started(), Names{"a"});
}

TEST_F(HeartbeatMachineTest, AControllerThatStoodStillForAMinuteLosesNoEngine) {
  start("a", 0);
  std::int64_t now = run(3 * period + 500, {"a"});
  std::string text;
  for (int freeze = 0; freeze < 10; ++freeze) {
    now += 60 * period;  // SIGSTOP again and again; the beat comes before the pongs that waited
    text = beat(now);
  }
  pong("a", text, now + 1);
  run(now + 2 * period, {"a"});
  EXPECT_TRUE(stopped().empty());
}

TEST(HeartbeatMachineOptions, EvenWithoutAnyForgivenMissAStandstillLosesNoEngine) {
  HeartbeatMachine machine{{.period = ms(period), .misses_max = 0}, at_ms(0)};
  HeartbeatMachine::Events events;
  machine.expect("a", at_ms(0));
  machine.pong("a", machine.beat(at_ms(0), events), at_ms(1), events);
  machine.beat(at_ms(period), events);
  machine.beat(at_ms(60 * period), events);  // silent since the beat before, but nobody listened
  EXPECT_EQ(events.size(), 1U);
  machine.beat(at_ms(61 * period), events);
  EXPECT_EQ(events.size(), 2U);
}

TEST_F(HeartbeatMachineTest, AnEngineThatDiedDuringTheStandstillIsFoundAfterIt) {
  start("a", 0);
  run(period + 500, {"a"});
  beat(61 * period);
  run(61 * period + 3 * period + 500);
  EXPECT_TRUE(stopped().empty());
  run(61 * period + 4 * period + 500);
  EXPECT_EQ(stopped(), Names{"a"});
}

TEST_F(HeartbeatMachineTest, PeriodsThatEndALittleLateAreJudged) {
  start("a", 0);
  for (std::int64_t now = 0; now < 8 * period + 8 * 300; now += period + 300) {
    beat(now);
  }
  EXPECT_EQ(stopped(), Names{"a"});
}

TEST_F(HeartbeatMachineTest, SeveralHeartsThatStopTogetherAreReportedInOneOrder) {
  for (const auto* uuid : {"d", "a", "c", "b"}) {
    machine.expect(uuid, at_ms(0));
  }
  const auto text = beat(0);
  for (const auto* uuid : {"d", "a", "c", "b"}) {
    pong(uuid, text, 1);
  }
  run(6 * period);
  EXPECT_EQ(stopped(), (Names{"a", "b", "c", "d"}));
}

TEST_F(HeartbeatMachineTest, PingTextsAreSecondsAndDoNotRepeat) {
  EXPECT_EQ(beat(0), "0.000000000");
  EXPECT_EQ(beat(2001), "2.001000000");
}

TEST(HeartbeatProperty, AnEngineThatAnswersInTimeIsNeverLostAndADeadOneAlwaysIs) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    HeartbeatMachine machine{{.period = ms(period), .misses_max = 2}, at_ms(0)};
    HeartbeatMachine::Events events;
    machine.expect("good", at_ms(0));
    machine.expect("dead", at_ms(0));
    std::string previous;
    for (int i = 0; i < 200; ++i) {
      const TimePoint now = machine.next_deadline() + ms(static_cast<std::int64_t>(rng.below(400)));
      const auto text = machine.beat(now, events);
      if (text.empty()) {
        continue;
      }
      machine.pong("good", rng.below(4) == 0 && !previous.empty() ? previous : text, now, events);
      if (i < 3) {
        machine.pong("dead", text, now, events);
      }
      if (rng.below(20) == 0) {
        machine.expect("other" + std::to_string(i), now);
      }
      previous = text;
      machine.check_invariants();
    }
    int lost = 0;
    for (const auto& event : events) {
      if (const auto* stopped = std::get_if<HeartStopped>(&event)) {
        EXPECT_EQ(stopped->uuid, "dead");
        ++lost;
      }
    }
    EXPECT_EQ(lost, 1);
  }
}

}  // namespace
}  // namespace ipf
