#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "hub/hub_events.hpp"

namespace ipf {

/// Which engines are alive: a failure detector over pings and their echoes (protocol.md 4.2).
///
/// | a heart is | from             | until                                             |
/// |------------|------------------|---------------------------------------------------|
/// | expected   | expect()         | its first pong: beating, at once; forget()        |
/// | beating    | first valid pong | more than misses_max silent periods: HeartStopped |
/// | stopped    | HeartStopped     | a valid pong: HeartReturned; forget(); too many   |
///
/// After `suspect_after` silent periods a beating heart is reported as suspected, and as trusted
/// when it answers again. Nobody else is remembered: a pong of an unknown uuid changes nothing,
/// however many come.
///
/// Time is cut into periods. A pong counts for the period in which it arrives if it repeats a ping
/// of this period or of the one before (late by one period is alive; older is an echo of the past).
/// At the end of a period each beating heart that gave no sign gets one miss, any other none.
///
/// While some heart is expected, more pings go out within the period, at distances that grow from
/// `probe_first` to `probe_last`: an engine is complete as soon as its heart beats and does not
/// wait for a period to end. Beats within a period judge nobody.
///
/// If the controller itself did not run (SIGSTOP, suspended laptop, swap), its beat comes late. The
/// silence of that time says nothing about the engines, so a period that ends later than
/// `late_max` after its time is not judged. Only the steady clock is used, so a jump of the wall
/// clock is invisible.
///
/// Invariants: at most `hearts_max` hearts; no heart has more than misses_max misses; pings are
/// remembered of two periods and `pings_max` at most. One thread (the heart's). Pure.
class HeartbeatMachine {
 public:
  struct Options {
    Duration period{std::chrono::seconds{3}};
    std::uint32_t misses_max{10};  ///< silent periods in a row that are forgiven
    std::uint32_t suspect_after{2};
    std::size_t stopped_max{4096};  ///< the oldest are forgotten
    Duration late_max{};            ///< 0: one period, at least a second
    Duration probe_first{std::chrono::milliseconds{20}};
    Duration probe_last{std::chrono::milliseconds{500}};
    std::size_t pings_max{512};
    std::size_t hearts_max{200'000};
  };
  using Events = std::vector<
      std::variant<HeartStarted, HeartStopped, HeartSuspected, HeartTrusted, HeartReturned>>;

  HeartbeatMachine(const Options& options, TimePoint now);

  /// An engine registers: its first pong will be reported. False when there is no room for it.
  bool expect(const std::string& uuid, TimePoint now);
  void forget(std::string_view uuid);
  /// Ends the period if it is over and says what to send to all hearts; empty: nothing, because the
  /// last ping is younger than `probe_first`. To be called at next_deadline(), and any time before.
  std::string beat(TimePoint now, Events& events);
  void pong(std::string_view uuid, std::string_view text, TimePoint now, Events& events);

  [[nodiscard]] TimePoint next_deadline() const;
  [[nodiscard]] std::size_t heart_count() const { return hearts_.size(); }
  [[nodiscard]] std::size_t expected_count() const { return expected_; }
  void check_invariants() const;

 private:
  struct Heart {
    bool beating{false};
    bool answered{false};  ///< in this period
    std::uint32_t misses{};
  };
  struct Ping {
    std::string text{};
    std::uint64_t period{};
  };

  void end_period(TimePoint now, Events& events);
  void judge(Events& events);
  void note_stopped(const std::string& uuid);
  [[nodiscard]] bool is_recent_ping(std::string_view text) const;

  const Options options_;
  const TimePoint start_;
  TimePoint period_end_;
  TimePoint last_ping_{};
  TimePoint next_probe_{TimePoint::never()};
  Duration probe_distance_{};
  std::uint64_t period_{1};
  std::deque<Ping> pings_;
  std::unordered_map<std::string, Heart> hearts_;
  std::deque<std::string> stopped_;  ///< oldest first
  std::size_t expected_{};
};

}  // namespace ipf
