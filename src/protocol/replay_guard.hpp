#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/seen_signatures.hpp"

namespace ipf {

/// Remembers the signatures of at least the last `window` messages and refuses a second sight, and
/// closes the window behind them: what is older than the forgotten ones is refused, too.
///
/// Two generations of a hash set of `window` each: when the young one is full it becomes the old
/// one. Only the first 64 bits of a signature are kept; signatures come from an HMAC, so nobody
/// without the key can choose them, and a false alarm has a chance of window / 2^63 a message.
///
/// Older is told by the counter that ends the msg_ids of one sender, `<session>_<pid>_<counter>`,
/// not by dates: no clock of a client matters. A msg_id of another form is judged by its signature
/// only. Senders that were silent for two generations are forgotten when `senders_max` are known;
/// the oldest replay of theirs would pass. One thread.
///
/// Guards of several queues may share a SeenSignatures: then what one of them has seen lately is a
/// replay for the others, too.
class ReplayGuard {
 public:
  explicit ReplayGuard(std::size_t window = 32768, std::size_t senders_max = 65536)
      : window_(window), senders_max_(senders_max) {}
  /// `everywhere` must outlive the guard.
  explicit ReplayGuard(SeenSignatures& everywhere) : ReplayGuard() { everywhere_ = &everywhere; }

  /// True the first time; false for a replay. Empty signatures (no key) always pass. `header` is
  /// the text of the message's header, whose signature has been verified.
  bool first_sight(std::string_view signature, std::string_view header = {});
  /// The message may come once more. Not for guards that share a SeenSignatures, nor for messages
  /// that were judged by their header.
  void forget(std::string_view signature);

 private:
  class Set {
   public:
    [[nodiscard]] bool contains(std::uint64_t key) const;
    void insert(std::uint64_t key);
    void erase(std::uint64_t key);
    [[nodiscard]] std::size_t size() const { return size_; }
    void clear();

   private:
    void grow();
    std::vector<std::uint64_t> slots_;
    std::size_t size_{};
  };
  /// Counters of one sender, each behind the highest one: 0 means none.
  struct Sender {
    std::uint64_t young{};
    std::uint64_t old{};
    std::uint64_t forgotten{};
  };

  void next_generation();

  std::size_t window_;
  std::size_t senders_max_;
  SeenSignatures* everywhere_{nullptr};
  Set young_;
  Set old_;
  std::unordered_map<std::uint64_t, Sender> senders_;
};

}  // namespace ipf
