#include "hub/notification_repeater.hpp"

#include <algorithm>

#include "core/check.hpp"

namespace ipf {

void NotificationRepeater::client_asked(TimePoint now) {
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    auto& round = rounds_.at(i);
    if (!round) {
      round = Round{.since = now, .due = now + options_.delays.at(i)};
    } else if (!round->next_since) {
      round->next_since = now;
    }
  }
}

void NotificationRepeater::engine_registered(EngineId id, TimePoint now) {
  const bool waited_for =
      std::ranges::any_of(rounds_, [](const auto& round) { return round.has_value(); });
  if (!waited_for) {
    return;
  }
  registrations_.push_back({.id = id, .at = now});
  if (registrations_.size() > options_.registrations_max) {
    registrations_.pop_front();
  }
}

std::vector<EngineId> NotificationRepeater::take_due(TimePoint now) {
  std::vector<EngineId> due;
  TimePoint needed = TimePoint::never();
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    auto& round = rounds_.at(i);
    if (round && round->due <= now) {
      for (const auto& registration : registrations_) {
        if (registration.at >= round->since) {
          due.push_back(registration.id);
        }
      }
      if (round->next_since) {
        round = Round{.since = *round->next_since, .due = now + options_.delays.at(i)};
      } else {
        round.reset();
      }
    }
    if (round) {
      needed = std::min(needed, round->since);
    }
  }
  while (!registrations_.empty() && registrations_.front().at < needed) {
    registrations_.pop_front();
  }
  std::ranges::sort(due);
  due.erase(std::unique(due.begin(), due.end()), due.end());
  return due;
}

TimePoint NotificationRepeater::next_deadline() const {
  TimePoint next = TimePoint::never();
  for (const auto& round : rounds_) {
    next = round ? std::min(next, round->due) : next;
  }
  return next;
}

void NotificationRepeater::check_invariants() const {
  IPF_CHECK(registrations_.size() <= options_.registrations_max);
  IPF_CHECK(registrations_.empty() || next_deadline() != TimePoint::never());
  for (const auto& round : rounds_) {
    IPF_CHECK(!round || (round->due > round->since &&
                         (!round->next_since || *round->next_since >= round->since)));
  }
}

}  // namespace ipf
