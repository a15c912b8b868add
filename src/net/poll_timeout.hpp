#pragma once

#include <algorithm>
#include <cstdint>

#include "core/clock.hpp"

namespace ipf {

/// Milliseconds from `now` to `deadline` for poll() and its kin: -1 for never, an hour at most.
/// Rounded up, because waking early would spin until the deadline.
constexpr int poll_timeout_ms(TimePoint now, TimePoint deadline) {
  constexpr std::int64_t nanoseconds_per_ms = 1'000'000;
  constexpr std::int64_t longest_ms = 3'600'000;
  if (deadline == TimePoint::never()) {
    return -1;
  }
  const std::int64_t left = std::max<std::int64_t>(0, (deadline - now).count());
  return static_cast<int>(
      std::min((left + nanoseconds_per_ms - 1) / nanoseconds_per_ms, longest_ms));
}

}  // namespace ipf
