#include "scheduler/subscription_gate.hpp"

#include <cstdint>
#include <string>

#include <gtest/gtest.h>

namespace ipf {
namespace {

constexpr TimePoint at_ms(std::int64_t ms) {
  return {ms * 1'000'000};
}

TEST(SubscriptionGate, HoldsAClientsOutputsUntilItsSubscriptionArrives) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  EXPECT_TRUE(gate.holds(at_ms(1), "a"));
  gate.subscribed(at_ms(2));
  EXPECT_FALSE(gate.holds(at_ms(2), "a"));
}

TEST(SubscriptionGate, HoldsNobodyElsesOutputs) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  EXPECT_FALSE(gate.holds(at_ms(1), "b"));
}

TEST(SubscriptionGate, ASubscriptionThatCameFirstCounts) {
  SubscriptionGate gate;
  gate.subscribed(at_ms(0));
  gate.client_connected(at_ms(10), "a");
  EXPECT_FALSE(gate.holds(at_ms(11), "a"));
}

TEST(SubscriptionGate, AnOldSubscriptionOfSomebodyElseDoesNotCount) {
  SubscriptionGate gate;
  gate.subscribed(at_ms(0));
  gate.client_connected(at_ms(400), "a");
  EXPECT_TRUE(gate.holds(at_ms(401), "a"));
}

TEST(SubscriptionGate, AClientThatAsksAgainIsNotWaitedForAgain) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  gate.subscribed(at_ms(2));
  gate.client_connected(at_ms(250), "a");
  EXPECT_FALSE(gate.holds(at_ms(251), "a"));
  gate.subscribed(at_ms(400));
  gate.client_connected(at_ms(401), "b");
  EXPECT_FALSE(gate.holds(at_ms(402), "b"));
}

TEST(SubscriptionGate, AClientThatComesBackMuchLaterIsWaitedForLikeAnyOther) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  gate.client_connected(at_ms(31'000), "a");
  EXPECT_TRUE(gate.holds(at_ms(31'001), "a"));
}

TEST(SubscriptionGate, NeverHoldsLongerThanItsPatience) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  EXPECT_EQ(gate.next_deadline(), at_ms(0) + SubscriptionGate::patience);
  EXPECT_TRUE(gate.holds(at_ms(299), "a"));
  EXPECT_FALSE(gate.holds(at_ms(300), "a"));
  EXPECT_EQ(gate.next_deadline(), TimePoint::never());
}

TEST(SubscriptionGate, EachSubscriptionFreesTheClientThatConnectedFirst) {
  SubscriptionGate gate;
  gate.client_connected(at_ms(0), "a");
  gate.client_connected(at_ms(1), "b");
  gate.subscribed(at_ms(2));
  EXPECT_FALSE(gate.holds(at_ms(3), "a"));
  EXPECT_TRUE(gate.holds(at_ms(3), "b"));
  EXPECT_TRUE(gate.expects_any(at_ms(3)));
  gate.subscribed(at_ms(4));
  EXPECT_FALSE(gate.expects_any(at_ms(4)));
}

TEST(SubscriptionGate, AFloodOfEitherKindIsBounded) {
  SubscriptionGate gate;
  for (std::size_t i = 0; i < 3 * SubscriptionGate::entries_max; ++i) {
    gate.client_connected(at_ms(0), "client-" + std::to_string(i));
  }
  EXPECT_TRUE(gate.holds(at_ms(1), "client-0"));
  EXPECT_FALSE(gate.holds(at_ms(1), "client-" + std::to_string(2 * SubscriptionGate::entries_max)));
}

}  // namespace
}  // namespace ipf
