#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"

namespace ipf {

/// Repeats registrations for clients that subscribe late (protocol.md 9, step 2).
///
/// A client learns the engines from connection_reply and subscribes to notifications only then; a
/// registration between the two would be lost to it. So each registration that follows a
/// connection_request is announced again a short and a long while after the request: the short one
/// for a local client, the long one for a tunnel. Nothing is repeated that the reply had already.
/// Who has heard of an engine accepts the repetition without effect.
///
/// There is one round under way for each delay; requests that come meanwhile share the next one, so
/// a request's repetition comes between one and two delays after it.
///
/// Invariants: registrations are remembered only while a round is under way, at most
/// `registrations_max`. One thread. Pure.
class NotificationRepeater {
 public:
  struct Options {
    std::array<Duration, 2> delays{std::chrono::milliseconds{100}, std::chrono::milliseconds{1000}};
    std::size_t registrations_max{4096};
  };
  explicit NotificationRepeater(const Options& options) : options_(options) {}

  void client_asked(TimePoint now);
  void engine_registered(EngineId id, TimePoint now);
  /// Engines to announce again now, by number; some may be gone meanwhile.
  std::vector<EngineId> take_due(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

 private:
  struct Round {
    TimePoint since{};
    TimePoint due{};
    std::optional<TimePoint> next_since{};
  };
  struct Registration {
    EngineId id{};
    TimePoint at{};
  };

  const Options options_;
  std::array<std::optional<Round>, 2> rounds_{};
  std::deque<Registration> registrations_;
};

}  // namespace ipf
