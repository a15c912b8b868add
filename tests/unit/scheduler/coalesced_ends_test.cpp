#include "scheduler/coalesced_ends.hpp"

#include <string>

#include <gtest/gtest.h>

namespace ipf {
namespace {

TEST(CoalescedEnds, TheLastLegEndsTheCall) {
  CoalescedEnds ends;
  EXPECT_FALSE(ends.leg_ended("m", 3, "m_a"));
  EXPECT_FALSE(ends.leg_ended("m", 3, "m_b"));
  EXPECT_TRUE(ends.leg_ended("m", 3, "m_c"));
  EXPECT_EQ(ends.open_calls(), 0U);
  EXPECT_EQ(ends.noted_legs(), 0U);
}

TEST(CoalescedEnds, ALegThatEndsTwiceCountsOnce) {
  CoalescedEnds ends;
  EXPECT_FALSE(ends.leg_ended("m", 2, "m_a"));
  EXPECT_FALSE(ends.leg_ended("m", 2, "m_a"));
  EXPECT_TRUE(ends.leg_ended("m", 2, "m_b"));
}

TEST(CoalescedEnds, CallsDoNotMix) {
  CoalescedEnds ends;
  EXPECT_FALSE(ends.leg_ended("m", 2, "m_a"));
  EXPECT_FALSE(ends.leg_ended("n", 2, "n_a"));
  EXPECT_TRUE(ends.leg_ended("n", 2, "n_b"));
  EXPECT_TRUE(ends.leg_ended("m", 2, "m_b"));
  EXPECT_TRUE(ends.leg_ended("o", 1, "o_a")) << "one leg is the last one";
}

TEST(CoalescedEnds, CallsThatNeverEndMakeRoomForNewerOnes) {
  CoalescedEnds ends({.calls_max = 2});
  ends.leg_ended("old", 2, "old_a");
  ends.leg_ended("m", 2, "m_a");
  ends.leg_ended("n", 2, "n_a");
  EXPECT_EQ(ends.open_calls(), 2U);
  EXPECT_FALSE(ends.leg_ended("old", 2, "old_b")) << "it was forgotten, and begins anew";
  EXPECT_TRUE(ends.leg_ended("n", 2, "n_b"));
}

TEST(CoalescedEnds, NotedLegsAreBounded) {
  CoalescedEnds ends({.calls_max = 100, .legs_max = 4});
  for (int i = 0; i < 1000; ++i) {
    ends.leg_ended("flood", 5000, "flood_" + std::to_string(i));
    EXPECT_LE(ends.noted_legs(), 4U);
  }
}

}  // namespace
}  // namespace ipf
