#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace ipf {

/// The signatures that any queue has seen lately, so that what was sent to one queue is refused on
/// another. Any number of threads; no lock, no allocation, one cache line a message.
///
/// Sets of eight signatures; in each the oldest one is replaced. Signatures come from an HMAC, so
/// nobody without the key can choose a set. With n sets, one of the last 2n signatures is still
/// there with a probability of 99.9 %, one of the last n with 99.999 %: see the test. Of a
/// signature the bits that choose the set and 48 more are kept; a false alarm has a chance of 8 /
/// 2^48 a message.
///
/// Of two threads that insert the same signature at once exactly one gets true: both would have to
/// replace the same oldest entry, and only one of them finds it unchanged.
class SeenSignatures {
 public:
  /// `sets` is a power of two; each takes 64 bytes.
  explicit SeenSignatures(std::size_t sets = 16'384);

  /// True the first time. `key` is the beginning of a signature.
  bool insert(std::uint64_t key);

 private:
  static constexpr std::size_t ways = 8;
  /// An entry is 48 bits of the signature above a 16 bit number that counts the insertions into
  /// its set; 0 is a free one.
  struct alignas(64) Set {
    std::array<std::atomic<std::uint64_t>, ways> entries{};
  };
  /// True when it is done; false when another thread was faster. `first` is the answer.
  static bool try_insert(Set& set, std::uint64_t tag, bool& first);

  std::size_t mask_;
  std::unique_ptr<Set[]> sets_;  // NOLINT(modernize-avoid-c-arrays): a vector would copy atomics
};

}  // namespace ipf
