#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace ipf {

/// Remembers the signatures of at least the last `window` messages and refuses a second sight.
///
/// Two generations of a hash set of `window` each: when the young one is full it becomes the old
/// one. Only the first 64 bits of a signature are kept; signatures come from an HMAC, so nobody
/// without the key can choose them, and a false alarm has a chance of window / 2^63 a message. One
/// thread.
class ReplayGuard {
 public:
  explicit ReplayGuard(std::size_t window = 32768) : window_(window) {}

  /// True the first time; false for a replay. Empty signatures (no key) always pass.
  bool first_sight(std::string_view signature);

 private:
  class Set {
   public:
    [[nodiscard]] bool contains(std::uint64_t key) const;
    void insert(std::uint64_t key);
    [[nodiscard]] std::size_t size() const { return size_; }
    void clear();

   private:
    void grow();
    std::vector<std::uint64_t> slots_;
    std::size_t size_{};
  };

  std::size_t window_;
  Set young_;
  Set old_;
};

}  // namespace ipf
