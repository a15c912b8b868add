#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace ipf {

/// All durations and deadlines; the steady clock is the only one that decides anything.
using Duration = std::chrono::nanoseconds;

/// A reading of the steady clock. Machines get it as an argument and never read a clock.
struct TimePoint {
  std::int64_t nanoseconds{};
  auto operator<=>(const TimePoint&) const = default;
  static constexpr TimePoint never() { return {std::numeric_limits<std::int64_t>::max()}; }
  friend constexpr TimePoint operator+(TimePoint at, Duration by) {
    return {at.nanoseconds + by.count()};
  }
  friend constexpr Duration operator-(TimePoint a, TimePoint b) {
    return Duration{a.nanoseconds - b.nanoseconds};
  }
};

/// A reading of the wall clock, UTC, in microseconds since 1970: only ever shown, never compared
/// with a deadline.
struct WallTime {
  std::int64_t microseconds{};
  auto operator<=>(const WallTime&) const = default;
};

TimePoint steady_now();
WallTime wall_now();

/// `2026-11-21T01:40:35.193815Z`, always with six digits of fraction (protocol.md 3.1).
std::string to_iso(WallTime time);

/// Appends to_iso(time) without allocating; the date part is cached per thread.
void append_iso(std::string& out, WallTime time);

/// Reads what to_iso writes, with 0 to 6 fraction digits and `Z`, `+hh:mm`, `+hhmm` or nothing
/// (taken as UTC). False when the text is no such date.
bool parse_iso(std::string_view text, WallTime& out);

}  // namespace ipf
