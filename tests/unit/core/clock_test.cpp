#include "core/clock.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t noon_2026 = 1'795'225'235LL * second;  // 2026-11-21T01:40:35Z

/// What the text should be, by the calendar of the standard library.
std::string iso_by_calendar(WallTime time) {
  using std::chrono::days;
  using std::chrono::microseconds;
  using std::chrono::sys_time;
  const sys_time<microseconds> point{microseconds{time.microseconds}};
  const auto day = std::chrono::floor<days>(point);
  const std::chrono::year_month_day date{day};
  const auto clock = std::chrono::hh_mm_ss<microseconds>{point - day};
  std::string out(40, '\0');
  const int size =
      std::snprintf(out.data(), out.size(), "%d-%02u-%02uT%02ld:%02ld:%02ld.%06ldZ",
                    static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                    static_cast<unsigned>(date.day()), clock.hours().count(),
                    clock.minutes().count(), clock.seconds().count(), clock.subseconds().count());
  out.resize(static_cast<std::size_t>(size));
  return out;
}

WallTime parsed(const std::string& text) {
  WallTime out;
  EXPECT_TRUE(parse_iso(text, out)) << text;
  return out;
}

TEST(Clock, TextHasSixDigitsOfFractionAndTheZuluSuffix) {
  EXPECT_EQ(to_iso({noon_2026 + 193'815}), "2026-11-21T01:40:35.193815Z");
  EXPECT_EQ(to_iso({noon_2026}), "2026-11-21T01:40:35.000000Z");
  EXPECT_EQ(to_iso({noon_2026 + 7}), "2026-11-21T01:40:35.000007Z");
  EXPECT_EQ(to_iso({0}), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(to_iso({-1}), "1969-12-31T23:59:59.999999Z");
}

TEST(Clock, AppendKeepsWhatWasThereAndForgetsNoCachedDate) {
  std::string text = "date: ";
  append_iso(text, {noon_2026});
  append_iso(text, {0});
  append_iso(text, {noon_2026 + 1});
  EXPECT_EQ(
      text,
      "date: 2026-11-21T01:40:35.000000Z1970-01-01T00:00:00.000000Z2026-11-21T01:40:35.000001Z");
}

TEST(Clock, AnyTimeSurvivesTheWayToTextAndBack) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  constexpr std::uint64_t years_1970_to_9999 = 253'402'300'800ULL * 1'000'000ULL;
  for (int i = 0; i < 5000; ++i) {
    const WallTime time{static_cast<std::int64_t>(rng.below(years_1970_to_9999))};
    const std::string text = to_iso(time);
    ASSERT_EQ(text, iso_by_calendar(time));
    ASSERT_EQ(parsed(text), time) << text;
  }
}

TEST(Clock, ZeroToSixFractionDigitsAreRead) {
  const std::vector<std::pair<std::string, std::int64_t>> fractions{{"", 0},
                                                                    {".1", 100'000},
                                                                    {".12", 120'000},
                                                                    {".003", 3'000},
                                                                    {".1234", 123'400},
                                                                    {".12345", 123'450},
                                                                    {".123456", 123'456}};
  for (const auto& [digits, microseconds] : fractions) {
    EXPECT_EQ(parsed("2026-11-21T01:40:35" + digits + "Z").microseconds, noon_2026 + microseconds)
        << digits;
    EXPECT_EQ(parsed("2026-11-21T01:40:35" + digits + "+01:00").microseconds,
              noon_2026 + microseconds - 3600 * second);
  }
}

TEST(Clock, EveryOffsetIsReadWithAndWithoutColon) {
  for (int minutes = -14 * 60; minutes <= 14 * 60; minutes += 15) {
    const int size = minutes < 0 ? -minutes : minutes;
    const auto two_digits = [](int number) {
      return (number < 10 ? "0" : "") + std::to_string(number);
    };
    for (const char* colon : {":", ""}) {
      const std::string zone =
          (minutes < 0 ? "-" : "+") + two_digits(size / 60) + colon + two_digits(size % 60);
      EXPECT_EQ(parsed("2026-11-21T01:40:35" + zone).microseconds,
                noon_2026 - minutes * 60 * second)
          << zone;
    }
  }
}

TEST(Clock, ATextWithoutZoneIsUtcAndABlankMayStandForT) {
  EXPECT_EQ(parsed("2026-11-21T01:40:35").microseconds, noon_2026);
  EXPECT_EQ(parsed("2026-11-21 01:40:35.5").microseconds, noon_2026 + 500'000);
}

TEST(Clock, LeapDaysExistInLeapYearsOnly) {
  EXPECT_EQ(to_iso(parsed("2024-02-29T00:00:00Z")), "2024-02-29T00:00:00.000000Z");
  EXPECT_EQ(to_iso(parsed("2000-02-29T00:00:00Z")), "2000-02-29T00:00:00.000000Z");
  WallTime out;
  EXPECT_FALSE(parse_iso("2023-02-29T00:00:00Z", out));
  EXPECT_FALSE(parse_iso("2100-02-29T00:00:00Z", out));
}

TEST(Clock, WhatIsNoDateIsRefused) {
  const std::vector<std::string> wrong{"",
                                       "x",
                                       "2026",
                                       "2026-11-21",
                                       "2026-11-21T01:40",
                                       "2026-11-21T01:40:3",
                                       "2026/11/21T01:40:35Z",
                                       "2026-11-21X01:40:35Z",
                                       "2026-11-21T01-40-35Z",
                                       "2026-13-21T01:40:35Z",
                                       "2026-00-21T01:40:35Z",
                                       "2026-11-00T01:40:35Z",
                                       "2026-11-31T01:40:35Z",
                                       "2026-02-30T01:40:35Z",
                                       "2026-11-32T01:40:35Z",
                                       "2026-11-21T24:40:35Z",
                                       "2026-11-21T01:60:35Z",
                                       "2026-11-21T01:40:61Z",
                                       "2026-11-21T01:40:35z",
                                       "2026-11-21T01:40:35ZZ",
                                       "2026-11-21T01:40:35 Z",
                                       "2026-11-21T01:40:35+1:00",
                                       "2026-11-21T01:40:35+01:0",
                                       "2026-11-21T01:40:35+01",
                                       "2026-11-21T01:40:35+0100 ",
                                       "2026-11-21T01:40:35*01:00",
                                       "2026-11-21T01:40:35+99:00",
                                       "2026-11-21T01:40:35+01:60",
                                       "2026-11-21T01:40:35.Z",
                                       "2026-11-21T01:40:35.1234567Z",
                                       "2026-11-21T01:40:35.12a",
                                       "+026-11-21T01:40:35Z",
                                       "2026-11- 1T01:40:35Z",
                                       "2026-11-21T01:40:35,5Z"};
  for (const auto& text : wrong) {
    WallTime out;
    EXPECT_FALSE(parse_iso(text, out)) << text;
  }
}

TEST(Clock, NeverIsAfterEveryTimeAndDurationsAdd) {
  const TimePoint now = steady_now();
  EXPECT_LT(now, TimePoint::never());
  EXPECT_EQ((now + std::chrono::seconds(2)) - now, std::chrono::seconds(2));
}

TEST(Clock, AWallTimeCannotBecomeADeadline) {
  // What a jump of the system's clock cannot change: the types have no way into each other.
  static_assert(!std::is_convertible_v<WallTime, TimePoint>);
  static_assert(!std::is_constructible_v<TimePoint, WallTime>);
  static_assert(!std::is_constructible_v<WallTime, TimePoint>);
  constexpr WallTime beyond_32_bits{2'147'483'648'000'000};
  EXPECT_EQ(to_iso(beyond_32_bits), "2038-01-19T03:14:08.000000Z");
}

TEST(Clock, TheSteadyClockNeverGoesBack) {
  TimePoint last = steady_now();
  for (int i = 0; i < 1000; ++i) {
    const TimePoint now = steady_now();
    ASSERT_LE(last, now);
    last = now;
  }
}

TEST(Clock, TheWallClockSaysTheYear) {
  EXPECT_GE(to_iso(wall_now()).substr(0, 4), "2024");
}

}  // namespace
}  // namespace ipf
