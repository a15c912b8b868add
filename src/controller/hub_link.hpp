#pragma once

#include <vector>

#include "controller/thread_link.hpp"
#include "core/clock.hpp"

namespace ipf {

/// A scheduler thread's way to the hub.
///
/// Events are in the hub's mailbox at once, and the hub empties it before it answers a question, so
/// no answer is out of date. But the hub is woken at most once in `wake_distance`: a wake-up for
/// each task would cost two context switches, more than the task itself. One thread (the writer's).
class HubLink {
 public:
  explicit HubLink(HubMailbox& hub) : hub_(hub) {}

  /// To be called once a poll round: hands over what has gathered in events().
  void flush(TimePoint now) {
    if (!events_.empty() && hub_.push_quietly(events_) && wake_at_ == TimePoint::never()) {
      wake_at_ = now + wake_distance;
    }
    if (wake_at_ <= now) {
      hub_.wake();
      wake_at_ = TimePoint::never();
    }
  }
  [[nodiscard]] TimePoint next_deadline() const { return wake_at_; }
  [[nodiscard]] std::vector<HubEvent>& events() { return events_; }

 private:
  static constexpr Duration wake_distance = std::chrono::milliseconds(2);
  HubMailbox& hub_;
  std::vector<HubEvent> events_;
  TimePoint wake_at_{TimePoint::never()};
};

}  // namespace ipf
