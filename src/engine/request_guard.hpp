#pragma once

#include <cstddef>
#include <vector>

#include "protocol/message.hpp"
#include "protocol/replay_guard.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

/// Tells requests that an engine has had already, also when their cluster has another key by now:
/// a client or a controller that asks again signs the same parts with the new one. One thread.
class RequestGuard {
 public:
  static constexpr std::size_t old_keys_max = 4;

  /// False for a message that was seen before. Its signature has been verified.
  bool first_sight(const Message& message);
  /// The message may come once more.
  void forget(const Message& message);
  /// From now on messages are signed with another key than this one; the oldest of more than
  /// `old_keys_max` is forgotten.
  void remember_key(Signer old);
  /// For messages that come once, whatever the key.
  [[nodiscard]] ReplayGuard& signatures() { return seen_; }

 private:
  ReplayGuard seen_{};
  std::vector<Signer> old_keys_{};
};

}  // namespace ipf::engine
