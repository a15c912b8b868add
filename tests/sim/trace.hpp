#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <stdexcept>
#include <string>

#include "core/clock.hpp"
#include "sim/names.hpp"

namespace ipf::sim {

/// A checker found that a machine broke its contract.
class SimFailure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What happened last, for the report of a failure; and a digest of all that happened, by which two
/// runs can be compared. `what` must be a literal: nothing is formatted before somebody asks.
class Trace {
 public:
  explicit Trace(bool verbose) : verbose_(verbose) {}
  void note(TimePoint at, const char* what, std::uint32_t task = none, std::uint32_t engine = none);
  /// The last lines, oldest first.
  [[nodiscard]] std::string tail() const;
  [[nodiscard]] std::uint64_t digest() const { return digest_; }

 private:
  struct Entry {
    TimePoint at{};
    const char* what{""};
    std::uint32_t task{none};
    std::uint32_t engine{none};
  };
  static std::string line(const Entry& entry);
  static constexpr std::size_t kept_max = 60;

  bool verbose_;
  std::deque<Entry> last_;
  std::uint64_t digest_{};
};

}  // namespace ipf::sim
