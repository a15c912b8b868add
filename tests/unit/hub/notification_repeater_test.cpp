#include "hub/notification_repeater.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using test::ms;
using Ids = std::vector<EngineId>;
using Engine = NotificationRepeater::Engine;

Engine engine(int number) {
  return {.id = EngineId{number}, .uuid = "e" + std::to_string(number)};
}

class NotificationRepeaterTest : public testing::Test {
 protected:
  void TearDown() override { repeater.check_invariants(); }
  Ids take_due(TimePoint now) {
    Ids ids;
    for (const auto& due : repeater.take_due(now)) {
      ids.push_back(due.id);
    }
    return ids;
  }
  NotificationRepeater repeater{{.delays = {ms(100), ms(1000)}, .changes_max = 3}};
};

TEST_F(NotificationRepeaterTest, NothingIsRepeatedWhenNobodyAsked) {
  repeater.engine_changed(engine(0), at_ms(0));
  EXPECT_EQ(repeater.next_deadline(), TimePoint::never());
  repeater.client_asked(at_ms(10));
  EXPECT_EQ(take_due(at_ms(5000)), Ids{});
}

TEST_F(NotificationRepeaterTest, AChangeAfterARequestIsRepeatedSoonAndOnceMoreLater) {
  repeater.client_asked(at_ms(0));
  repeater.engine_changed(engine(4), at_ms(2));
  EXPECT_EQ(repeater.next_deadline(), at_ms(100));
  EXPECT_EQ(take_due(at_ms(99)), Ids{});
  EXPECT_EQ(take_due(at_ms(100)), Ids{EngineId{4}});
  repeater.engine_changed(engine(5), at_ms(500));
  EXPECT_EQ(repeater.next_deadline(), at_ms(1000));
  EXPECT_EQ(take_due(at_ms(1000)), (Ids{EngineId{4}, EngineId{5}}));
  EXPECT_EQ(repeater.next_deadline(), TimePoint::never());
}

TEST_F(NotificationRepeaterTest, ARequestDuringARoundGetsItsOwnRepetition) {
  repeater.client_asked(at_ms(0));
  repeater.client_asked(at_ms(60));
  repeater.engine_changed(engine(1), at_ms(61));
  EXPECT_EQ(take_due(at_ms(100)), Ids{EngineId{1}});
  EXPECT_EQ(repeater.next_deadline(), at_ms(200));
  EXPECT_EQ(take_due(at_ms(200)), Ids{EngineId{1}});
}

TEST_F(NotificationRepeaterTest, AnEngineThatChangedTwiceIsNamedOnceAsItWasLast) {
  repeater.client_asked(at_ms(0));
  repeater.engine_changed(engine(2), at_ms(1));
  repeater.engine_changed({.id = EngineId{2}, .uuid = "later"}, at_ms(2));
  EXPECT_EQ(repeater.take_due(at_ms(100)),
            (std::vector<Engine>{{.id = EngineId{2}, .uuid = "later"}}));
}

TEST_F(NotificationRepeaterTest, ChangesAreLimited) {
  repeater.client_asked(at_ms(0));
  for (int i = 0; i < 5; ++i) {
    repeater.engine_changed(engine(i), at_ms(1));
  }
  EXPECT_EQ(take_due(at_ms(100)), (Ids{EngineId{2}, EngineId{3}, EngineId{4}}));
}

TEST(NotificationRepeaterProperty, EveryChangeSoonAfterARequestIsRepeatedLateEnoughForIt) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    NotificationRepeater repeater{{.delays = {ms(100), ms(1000)}}};
    struct Seen {
      EngineId id{};
      TimePoint at{};
    };
    std::vector<Seen> registered;
    std::vector<Seen> repeated;
    std::vector<TimePoint> asked;
    for (std::int64_t now = 0; now < 6000; ++now) {
      if (now < 3000 && rng.below(100) == 0) {
        repeater.client_asked(at_ms(now));
        asked.push_back(at_ms(now));
      }
      if (now < 3000 && rng.below(50) == 0) {
        registered.push_back({.id = EngineId{static_cast<std::int32_t>(now)}, .at = at_ms(now)});
        repeater.engine_changed({.id = registered.back().id}, at_ms(now));
      }
      for (const auto& due : repeater.take_due(at_ms(now))) {
        repeated.push_back({.id = due.id, .at = at_ms(now)});
      }
      repeater.check_invariants();
    }
    for (const auto& client : asked) {
      for (const auto& engine : registered) {
        if (engine.at < client || engine.at > client + ms(100)) {
          continue;
        }
        for (const Duration delay : {ms(100), ms(1000)}) {
          const bool told = std::ranges::any_of(repeated, [&](const Seen& seen) {
            return seen.id == engine.id && seen.at >= client + delay &&
                   seen.at <= client + 2 * delay;
          });
          EXPECT_TRUE(told) << "asked at " << client.nanoseconds << ", registered at "
                            << engine.at.nanoseconds;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ipf
