#include <algorithm>
#include <chrono>
#include <string>

#include "engine/engine_machine.hpp"

/// How the machine finds out that it has lost its controller, and comes back to it or to another.
namespace ipf::engine {

namespace {

/// Without an answer to a registration; the distance grows up to `ask_longest`.
constexpr Duration ask_first = std::chrono::seconds(1);
constexpr Duration ask_longest = std::chrono::seconds(10);
/// Pings are not answered while a registration is under way, but not longer than this: a controller
/// that knows the engine would lose it.
constexpr Duration hold_pings = std::chrono::seconds(1);
constexpr Duration shortest_gap = std::chrono::seconds(1);

std::string in_seconds(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

}  // namespace

/// Pings that do not come for so long say that something is wrong.
Duration EngineMachine::silence_max() const {
  return std::max(2 * ping_interval_, shortest_gap);
}

void EngineMachine::on_event(const ConnectionCameBack& /*event*/) {
  if (id_ && phase_ != Phase::stopping) {
    note(LogLevel::info, "the connection to the controller is back");
    register_again(true);
  }
}

/// Is it still known there? Also asked after a silence, because the controller may have given this
/// engine up meanwhile.
void EngineMachine::register_again(bool new_sockets) {
  if (asking_) {
    ask_distance_ = ask_first;
  }
  asking_ = true;
  asked_since_ = now_;
  ask_again_ = now_ + ask_distance_;
  act(SendRegistration{.new_sockets = new_sockets});
}

void EngineMachine::on_known_again(EngineId id) {
  asking_ = false;
  ask_distance_ = ask_first;
  ask_again_ = TimePoint::never();
  if (lost_since_ != TimePoint::never()) {
    note(LogLevel::info, "the controller is back after " + in_seconds(now_ - lost_since_) +
                             "; this is still engine " + std::to_string(id.value));
    lost_since_ = TimePoint::never();
  }
  last_ping_ = now_;
}

void EngineMachine::begin_silence() {
  if (lost_since_ == TimePoint::never()) {
    // An engine that was stopped itself for hours has not waited for hours.
    const Duration silence = std::min(now_ - last_ping_, 2 * silence_max());
    lost_since_ = TimePoint{now_.nanoseconds - silence.count()};
    note(LogLevel::warning, "no ping from the controller for " + in_seconds(silence) +
                                "; going on, and waiting for it for " +
                                (options_.reconnect_timeout > Duration{}
                                     ? in_seconds(options_.reconnect_timeout) + " at most"
                                     : std::string("ever")));
  }
}

bool EngineMachine::lost_for_good() {
  if (lost_since_ == TimePoint::never() || options_.reconnect_timeout <= Duration{} ||
      now_ < lost_since_ + options_.reconnect_timeout) {
    return false;
  }
  stop_unregistered(1, "the controller has sent no ping for " + in_seconds(now_ - lost_since_) +
                           " (--reconnect-timeout); giving it up");
  return true;
}

void EngineMachine::ask_again_when_due() {
  if (now_ < ask_again_) {
    return;
  }
  ask_distance_ = std::min(ask_distance_ * 2, ask_longest);
  ask_again_ = now_ + ask_distance_;
  act(SendRegistration{.new_sockets = true});
}

bool EngineMachine::holds_pings() const {
  return asking_ && now_ < asked_since_ + hold_pings;
}

}  // namespace ipf::engine
