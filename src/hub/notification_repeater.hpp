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

/// Repeats which engines came and went for clients that subscribe late (protocol.md 9, step 2).
///
/// A client learns the engines from connection_reply and subscribes to notifications only then;
/// what changes between the two would be lost to it. So what became of each engine that changed
/// after a connection_request is announced again a short and a long while after the request: the
/// short one for a local client, the long one for a tunnel. Nothing is repeated that the reply had
/// already. Who has heard of it accepts the repetition without effect.
///
/// There is one round under way for each delay; requests that come meanwhile share the next one, so
/// a request's repetition comes between one and two delays after it.
///
/// Invariants: changes are remembered only while a round is under way, at most `changes_max`. One
/// thread. Pure.
class NotificationRepeater {
 public:
  struct Options {
    std::array<Duration, 2> delays{std::chrono::milliseconds{100}, std::chrono::milliseconds{1000}};
    std::size_t changes_max{4096};
  };
  explicit NotificationRepeater(const Options& options) : options_(options) {}

  struct Engine {
    EngineId id{};
    std::string uuid{};
    bool operator==(const Engine&) const = default;
  };

  void client_asked(TimePoint now);
  /// It has been registered, or is gone.
  void engine_changed(Engine engine, TimePoint now);
  /// Engines of which to tell again now whether they are there: by number, each as it was last.
  std::vector<Engine> take_due(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

 private:
  struct Round {
    TimePoint since{};
    TimePoint due{};
    std::optional<TimePoint> next_since{};
  };
  struct Change {
    Engine engine{};
    TimePoint at{};
  };

  const Options options_;
  std::array<std::optional<Round>, 2> rounds_{};
  std::deque<Change> changes_;
};

}  // namespace ipf
