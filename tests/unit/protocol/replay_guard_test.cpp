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

TEST(ReplayGuard, OnlyWhatWasForgottenMayComeOnceMore) {
  constexpr std::uint64_t count = 1500;  // in both generations, and with many collisions
  ReplayGuard guard(1000);
  for (std::uint64_t i = 0; i < count; ++i) {
    guard.first_sight(signature(i));
  }
  guard.forget(signature(count));
  for (std::uint64_t i = 0; i < count; i += 3) {
    guard.forget(signature(i));
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    EXPECT_EQ(guard.first_sight(signature(i)), i % 3 == 0) << i;
  }
  EXPECT_FALSE(guard.first_sight(signature(0)));
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

// ---- the window is closed behind what was forgotten ---------------------------------------------

std::string header_of(const std::string& sender, std::uint64_t counter) {
  return R"({"date": "x", "msg_id" : ")" + sender + "_" + std::to_string(counter) +
         R"(", "msg_type": "t"})";
}

TEST(ReplayGuard, WhatIsOlderThanTheForgottenIsRefused) {
  constexpr std::uint64_t window = 50;
  ReplayGuard guard(window);
  for (std::uint64_t i = 0; i < 20 * window; ++i) {
    ASSERT_TRUE(guard.first_sight(signature(i), header_of("a_1", i))) << i;
    for (const std::uint64_t old : {std::uint64_t{0}, i / 3, i / 2, i}) {
      ASSERT_FALSE(guard.first_sight(signature(old), header_of("a_1", old))) << old << " at " << i;
    }
  }
}

TEST(ReplayGuard, ASendersMessagesMayOvertakeEachOther) {
  ReplayGuard guard(50);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t swapped = i ^ 31U;  // up to 31 places too early or too late
    ASSERT_TRUE(guard.first_sight(signature(swapped), header_of("a_1", swapped))) << swapped;
  }
}

TEST(ReplayGuard, EachSenderHasItsOwnCounter) {
  ReplayGuard guard(10);
  for (std::uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(guard.first_sight(signature(i), header_of("fast_1", 1'000'000 + i)));
  }
  EXPECT_TRUE(guard.first_sight(signature(1000), header_of("slow_1", 0)));
  EXPECT_TRUE(guard.first_sight(signature(1001), header_of("fast_2", 0))) << "another process";
  EXPECT_FALSE(guard.first_sight(signature(1002), header_of("fast_1", 1'000'000)));
}

TEST(ReplayGuard, OtherMsgIdsAreJudgedByTheSignatureOnly) {
  ReplayGuard guard(4);
  std::uint64_t number = 0;
  for (int round = 0; round < 10; ++round) {
    for (const std::string& header :
         {std::string(R"({"msg_id": "plain"})"), std::string(R"({"msg_id": "a_1_x"})"),
          std::string(R"({"msg_id": 5})"), std::string("{}"), std::string(R"({"msg_id")"),
          std::string(R"({"msg_id": "a_99999999999999999999999"})"), std::string()}) {
      EXPECT_TRUE(guard.first_sight(signature(++number), header)) << header;
      EXPECT_FALSE(guard.first_sight(signature(number), header)) << header;
    }
  }
}

TEST(ReplayGuard, SilentSendersAreForgottenWhenThereAreMany) {
  ReplayGuard guard(10, 20);
  ASSERT_TRUE(guard.first_sight(signature(0), header_of("first_1", 5)));
  for (std::uint64_t i = 1; i < 25; ++i) {
    guard.first_sight(signature(i), header_of("busy_1", i));
  }
  EXPECT_FALSE(guard.first_sight(signature(0), header_of("first_1", 4))) << "closed for this one";
  for (std::uint64_t i = 100; i < 200; ++i) {
    guard.first_sight(signature(i), header_of("s" + std::to_string(i), i));
  }
  EXPECT_TRUE(guard.first_sight(signature(0), header_of("first_1", 4))) << "memory is bounded";
}

}  // namespace
}  // namespace ipf
