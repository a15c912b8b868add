#include "core/clock.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace ipf {

namespace {

constexpr std::int64_t micros_per_second = 1'000'000;

bool read_digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  if (at + count > text.size()) {
    return false;
  }
  out = 0;
  for (std::size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') {
      return false;
    }
    out = out * 10 + (text[i] - '0');
  }
  return true;
}

bool parse_offset(std::string_view zone, std::int64_t& seconds) {
  seconds = 0;
  if (zone.empty() || zone == "Z") {
    return true;
  }
  if (zone[0] != '+' && zone[0] != '-') {
    return false;
  }
  int hours = 0;
  int minutes = 0;
  const std::size_t minutes_at = zone.size() == 6 && zone[3] == ':' ? 4 : 3;
  if (zone.size() != minutes_at + 2 || !read_digits(zone, 1, 2, hours) ||
      !read_digits(zone, minutes_at, 2, minutes) || hours > 23 || minutes > 59) {
    return false;
  }
  seconds = (hours * 60 + minutes) * 60;
  if (zone[0] == '-') {
    seconds = -seconds;
  }
  return true;
}

}  // namespace

TimePoint steady_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return {std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec};
}

WallTime wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {std::int64_t{now.tv_sec} * micros_per_second + now.tv_nsec / 1000};
}

void append_iso(std::string& out, WallTime time) {
  std::int64_t seconds = time.microseconds / micros_per_second;
  std::int64_t fraction = time.microseconds % micros_per_second;
  if (fraction < 0) {
    fraction += micros_per_second;
    --seconds;
  }
  thread_local std::int64_t cached_second = std::numeric_limits<std::int64_t>::min();
  thread_local std::array<char, 32> cached{};
  if (seconds != cached_second) {
    const std::time_t whole = seconds;
    std::tm parts{};
    gmtime_r(&whole, &parts);
    std::strftime(cached.data(), cached.size(), "%Y-%m-%dT%H:%M:%S", &parts);
    cached_second = seconds;
  }
  out += cached.data();
  std::array<char, 8> digits{'.', '0', '0', '0', '0', '0', '0', 'Z'};
  for (std::size_t i = 6; i > 0 && fraction > 0; --i) {
    digits[i] = static_cast<char>('0' + fraction % 10);
    fraction /= 10;
  }
  out.append(digits.data(), digits.size());
}

std::string to_iso(WallTime time) {
  std::string text;
  append_iso(text, time);
  return text;
}

bool parse_iso(std::string_view text, WallTime& out) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (text.size() < 19 || text[4] != '-' || text[7] != '-' ||
      (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':' ||
      !read_digits(text, 0, 4, year) || !read_digits(text, 5, 2, month) ||
      !read_digits(text, 8, 2, day) || !read_digits(text, 11, 2, hour) ||
      !read_digits(text, 14, 2, minute) || !read_digits(text, 17, 2, second)) {
    return false;
  }
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) {
    return false;
  }
  std::size_t at = 19;
  std::int64_t fraction = 0;
  if (at < text.size() && text[at] == '.') {
    int digits = 0;
    for (++at; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, ++digits) {
      fraction = fraction * 10 + (text[at] - '0');
      if (digits == 6) {
        return false;
      }
    }
    if (digits == 0) {
      return false;
    }
    for (; digits < 6; ++digits) {
      fraction *= 10;
    }
  }
  std::int64_t offset = 0;
  if (!parse_offset(text.substr(at), offset)) {
    return false;
  }
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  out = {(std::int64_t{timegm(&parts)} - offset) * micros_per_second + fraction};
  return true;
}

}  // namespace ipf
