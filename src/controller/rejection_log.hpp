#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"

namespace ipf {

/// Dropped messages by cause.
struct Rejections {
  std::uint64_t bad_signatures{};
  std::uint64_t replays{};
  std::uint64_t malformed{};  ///< all other causes
};

/// Counts the messages that a socket's owner dropped and logs the first one of a burst, then one
/// summary line in ten seconds at most, whatever a hostile peer sends. One thread.
class RejectionLog {
 public:
  RejectionLog(Log& log, std::string where) : log_(log), where_(std::move(where)) {}

  /// `peer` is the sender's `ip:port` if it is known.
  void note(TimePoint now, std::string_view what, const Error& error, std::string_view peer = {});
  [[nodiscard]] const Rejections& counts() const { return counts_; }
  [[nodiscard]] std::uint64_t count() const {
    return counts_.bad_signatures + counts_.replays + counts_.malformed;
  }

 private:
  Log& log_;
  std::string where_;
  Rejections counts_;
  std::uint64_t silent_{};
  TimePoint quiet_until_{};
};

}  // namespace ipf
