#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/rng.hpp"
#include "sim/event_queue.hpp"

namespace ipf::sim {

/// How long a message is under way: at least `least`, on average about `more` longer, and once in a
/// while (`spike_chance`) up to `spike`.
struct DelayModel {
  Duration least{std::chrono::microseconds{20}};
  Duration more{std::chrono::microseconds{100}};
  double spike_chance{0.0};
  Duration spike{std::chrono::milliseconds{50}};

  [[nodiscard]] Duration draw(Rng& rng) const {
    const auto up_to = [&rng](Duration most) {
      return Duration{static_cast<std::int64_t>(rng.unit() * static_cast<double>(most.count()))};
    };
    if (spike_chance > 0 && rng.unit() < spike_chance) {
      return least + up_to(spike);
    }
    return least + up_to(2 * more);
  }
};

/// One direction of one connection: messages arrive in the order in which they were sent, each
/// after a delay of its own, so that different paths overtake one another and messages of one path
/// never do. A cut drops what is under way; a paused path (its reader is frozen) keeps it.
template <class T>
class Path final : public Actor {
 public:
  using Deliver = std::function<void(T&)>;

  Path(EventQueue& queue, Rng& rng, const DelayModel& delay, Deliver deliver)
      : queue_(queue), rng_(rng), delay_(delay), deliver_(std::move(deliver)) {}

  void send(T message) {
    last_ = std::max(last_, queue_.now() + delay_.draw(rng_));
    items_.push_back({.at = last_, .serial = ++serial_, .message = std::move(message)});
    queue_.at(last_, *this, serial_);
  }
  [[nodiscard]] std::size_t in_flight() const { return items_.size() - first_; }
  void cut() { keep(0); }
  /// The connection breaks: a random number of the last messages never left the sender.
  void cut_tail() { keep(static_cast<std::size_t>(rng_.below(in_flight() + 1))); }
  void pause() { paused_ = true; }
  void resume() {
    paused_ = false;
    for (std::size_t i = first_; i < items_.size() && items_[i].at <= queue_.now(); ++i) {
      queue_.at(queue_.now(), *this, items_[i].serial);
    }
  }

  void wake(std::uint64_t token) override {
    if (paused_ || in_flight() == 0 || items_[first_].serial != token) {
      return;
    }
    T message = std::move(items_[first_].message);
    if (++first_ == items_.size()) {
      items_.clear();
      first_ = 0;
    } else if (first_ >= 64 && first_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    deliver_(message);
  }

 private:
  struct Item {
    TimePoint at{};
    std::uint64_t serial{};
    T message;
  };
  void keep(std::size_t count) {
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(first_ + count), items_.end());
  }

  EventQueue& queue_;
  Rng& rng_;
  const DelayModel& delay_;
  Deliver deliver_;
  std::vector<Item> items_;
  std::size_t first_{};
  std::uint64_t serial_{};
  TimePoint last_{};
  bool paused_{false};
};

}  // namespace ipf::sim
