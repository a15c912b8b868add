#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/clock.hpp"

namespace ipf {

/// Whose outputs must wait for a subscription that is still on its way.
///
/// A client asks the hub who is there, then subscribes to outputs and sends requests, over
/// connections of their own. A fast engine may publish before the subscription has arrived; PUB
/// sockets drop such messages, and a client that waits for the end of an output then waits for
/// ever. Subscriptions carry no name, so each is matched, in order, with a client that connected
/// shortly before or after it. A client that asks the hub again shortly after has subscribed long
/// ago and is not waited for a second time. Pure; one thread.
///
/// Invariant: not both lists have entries; each, and what is known, has `entries_max` at most.
class SubscriptionGate {
 public:
  /// The longest time that an output is held, from the connection on.
  static constexpr Duration patience = std::chrono::milliseconds(300);
  /// Who asks again within this time is the same connected client.
  static constexpr Duration known_for = std::chrono::seconds(30);
  static constexpr std::size_t entries_max = 1024;

  void client_connected(TimePoint now, std::string session);
  void subscribed(TimePoint now);
  /// True while outputs for this session are to be held back.
  [[nodiscard]] bool holds(TimePoint now, std::string_view session);
  /// Some client is expected to subscribe.
  [[nodiscard]] bool expects_any(TimePoint now);
  /// When a client's patience ends; never() if none is expected.
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  struct Connecting {
    std::string session{};
    TimePoint deadline{};
  };
  void expire(TimePoint now);
  bool is_known(TimePoint now, const std::string& session);

  std::unordered_map<std::string, TimePoint> known_;  ///< until when
  std::deque<Connecting> connecting_;
  std::deque<TimePoint> unmatched_;  ///< until when a subscription may still find its client
};

}  // namespace ipf
