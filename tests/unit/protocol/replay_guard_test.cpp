#include "protocol/replay_guard.hpp"

#include <string>

#include <gtest/gtest.h>

#include "core/rng.hpp"

namespace ipf {
namespace {

/// 64 hex digits that look like an HMAC; equal numbers give equal text.
std::string signature(std::uint64_t number) {
  constexpr std::string_view digits = "0123456789abcdef";
  Rng rng(number);
  std::string out;
  for (int i = 0; i < 64; ++i) {
    out += digits[rng.below(16)];
  }
  return out;
}

TEST(ReplayGuard, EachSignaturePassesOnce) {
  ReplayGuard guard;
  EXPECT_TRUE(guard.first_sight(signature(1)));
  EXPECT_TRUE(guard.first_sight(signature(2)));
  EXPECT_FALSE(guard.first_sight(signature(1)));
  EXPECT_FALSE(guard.first_sight(signature(2)));
}

TEST(ReplayGuard, EmptySignaturesAlwaysPass) {
  ReplayGuard guard;
  EXPECT_TRUE(guard.first_sight(""));
  EXPECT_TRUE(guard.first_sight(""));
}

TEST(ReplayGuard, TheLastWindowMessagesAreAlwaysRemembered) {
  constexpr std::uint64_t window = 100;
  ReplayGuard guard(window);
  for (std::uint64_t i = 0; i < 10 * window; ++i) {
    ASSERT_TRUE(guard.first_sight(signature(i))) << i;
    const std::uint64_t oldest = i < window ? 0 : i - window + 1;
    ASSERT_FALSE(guard.first_sight(signature(oldest))) << "forgot " << oldest << " at " << i;
  }
}

TEST(ReplayGuard, ThereAreTwoGenerationsAndNoMore) {
  ReplayGuard guard(10);
  for (std::uint64_t i = 0; i < 30; ++i) {
    EXPECT_TRUE(guard.first_sight(signature(i)));
  }
  EXPECT_TRUE(guard.first_sight(signature(0))) << "memory is bounded, so the oldest are forgotten";
  EXPECT_FALSE(guard.first_sight(signature(29)));
}

TEST(ReplayGuard, AReplayDoesNotPushOthersOut) {
  ReplayGuard guard(3);
  guard.first_sight(signature(0));
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(guard.first_sight(signature(0)));
  }
  EXPECT_TRUE(guard.first_sight(signature(1)));
  EXPECT_FALSE(guard.first_sight(signature(0)));
}

TEST(ReplayGuard, TheDefaultWindowHoldsItsFullNumberWhileTheTablesGrow) {
  ReplayGuard guard;
  constexpr std::uint64_t window = 32768;
  for (std::uint64_t i = 0; i < window; ++i) {
    ASSERT_TRUE(guard.first_sight(signature(i)));
  }
  for (std::uint64_t i = 0; i < window; ++i) {
    ASSERT_FALSE(guard.first_sight(signature(i)));
  }
}

TEST(ReplayGuard, SignaturesThatShareTheirHashPlaceAreKeptApart) {
  ReplayGuard guard(100);
  for (const char first :
       {'1', '2', '3', '4', '5'}) {  // the low bits, which choose the place, are equal
    EXPECT_TRUE(guard.first_sight(first + std::string(63, '0')));
  }
  for (const char first : {'1', '2', '3', '4', '5'}) {
    EXPECT_FALSE(guard.first_sight(first + std::string(63, '0')));
  }
}

TEST(ReplayGuard, OnlyZerosAndShortSignaturesAreRememberedToo) {
  ReplayGuard guard;
  EXPECT_TRUE(guard.first_sight(std::string(64, '0')));
  EXPECT_FALSE(guard.first_sight(std::string(64, '0')));
  EXPECT_TRUE(guard.first_sight("ab"));
  EXPECT_FALSE(guard.first_sight("ab"));
}

}  // namespace
}  // namespace ipf
