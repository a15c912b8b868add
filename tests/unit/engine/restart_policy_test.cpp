#include "engine/restart_policy.hpp"

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

constexpr TimePoint at_ms(std::int64_t ms) {
  return {ms * 1'000'000};
}

const EngineEnd crash{.how = "was killed by signal 11 (SIGSEGV)", .was_registered = true};

EngineEnd asked() {
  EngineEnd end = crash;
  end.announced = true;
  end.asked_to_restart = true;
  return end;
}

TEST(RestartPolicyTest, NeverMeansOnlyWhenAClientAsks) {
  RestartPolicy policy({.mode = RestartMode::never});
  EXPECT_FALSE(policy.decide(at_ms(0), crash).restart);
  EXPECT_TRUE(policy.decide(at_ms(0), asked()).restart);
}

TEST(RestartPolicyTest, WhatLeftInOrderOrNeverCameIsNotRestarted) {
  RestartPolicy policy({.mode = RestartMode::on_failure});
  EngineEnd end = crash;
  end.announced = true;
  EXPECT_FALSE(policy.decide(at_ms(0), end).restart);
  end = crash;
  end.was_registered = false;
  const auto decision = policy.decide(at_ms(0), end);
  EXPECT_FALSE(decision.restart);
  EXPECT_NE(decision.why.find("never was registered"), std::string::npos);
  end = asked();
  end.told_to_stop = true;
  EXPECT_FALSE(policy.decide(at_ms(0), end).restart);
}

TEST(RestartPolicyTest, CrashesInARowComeWithABackOffAndALimit) {
  RestartPolicy policy({.mode = RestartMode::on_failure, .limit = 4});
  const std::vector<int> delays_ms{0, 100, 200, 400};
  for (std::size_t i = 0; i < delays_ms.size(); ++i) {
    const auto decision = policy.decide(at_ms(1000 * static_cast<int>(i)), crash);
    EXPECT_TRUE(decision.restart);
    EXPECT_EQ(decision.delay, std::chrono::milliseconds(delays_ms[i])) << i;
    EXPECT_NE(decision.why.find(std::to_string(i + 1) + " of at most 4 restarts in 60 s"),
              std::string::npos)
        << decision.why;
  }
  const auto last = policy.decide(at_ms(5000), crash);
  EXPECT_FALSE(last.restart);
  EXPECT_NE(last.why.find("giving it up"), std::string::npos);
}

TEST(RestartPolicyTest, OldCrashesAndAskedRestartsDoNotCount) {
  RestartPolicy policy({.mode = RestartMode::on_failure, .limit = 1});
  EXPECT_TRUE(policy.decide(at_ms(0), crash).restart);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(policy.decide(at_ms(1), asked()).delay, Duration{});
  }
  const auto later = policy.decide(at_ms(60'000), crash);
  EXPECT_TRUE(later.restart);
  EXPECT_EQ(later.delay, Duration{});
}

}  // namespace
}  // namespace ipf::engine
