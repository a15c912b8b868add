#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <vector>

#include "core/clock.hpp"

namespace ipf::sim {

/// Something that happens to somebody at a time. `token` is the actor's own business.
class Actor {
 public:
  Actor() = default;
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  virtual ~Actor() = default;
  virtual void wake(std::uint64_t token) = 0;
};

/// The simulated clock: time stands still while an actor runs and then jumps to the next wake-up.
/// What is due at the same time happens in the order in which it was asked for, so that a run is
/// the same each time. Actors must outlive the queue's entries.
class EventQueue {
 public:
  [[nodiscard]] TimePoint now() const { return now_; }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::uint64_t steps() const { return steps_; }

  void at(TimePoint when, Actor& actor, std::uint64_t token) {
    entries_.push(
        {.at = when < now_ ? now_ : when, .order = ++order_, .actor = &actor, .token = token});
  }
  /// Runs what is due next; false when nothing is left.
  bool run_next() {
    if (entries_.empty()) {
      return false;
    }
    const Entry next = entries_.top();
    entries_.pop();
    now_ = next.at;
    ++steps_;
    next.actor->wake(next.token);
    return true;
  }

 private:
  struct Entry {
    TimePoint at{};
    std::uint64_t order{};
    Actor* actor{};
    std::uint64_t token{};
    bool operator<(const Entry& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  std::priority_queue<Entry> entries_;
  TimePoint now_{1'000'000'000};
  std::uint64_t order_{};
  std::uint64_t steps_{};
};

}  // namespace ipf::sim
