#pragma once

#include <string>

#include "core/clock.hpp"

namespace ipf::engine {

/// What this process and its machine use, for usage_reply; remembers the last reading, because CPU
/// use is a share of the time since then. One thread.
class UsageMeter {
 public:
  /// Content of a usage_reply.
  std::string content(TimePoint now);

 private:
  TimePoint last_{};
  double last_cpu_seconds_{};
};

}  // namespace ipf::engine
