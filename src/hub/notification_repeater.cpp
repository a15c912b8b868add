#include "hub/notification_repeater.hpp"

#include <algorithm>
#include <map>
#include <utility>

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

void NotificationRepeater::engine_changed(Engine engine, TimePoint now) {
  const bool waited_for =
      std::ranges::any_of(rounds_, [](const auto& round) { return round.has_value(); });
  if (!waited_for) {
    return;
  }
  changes_.push_back({.engine = std::move(engine), .at = now});
  if (changes_.size() > options_.changes_max) {
    changes_.pop_front();
  }
}

std::vector<NotificationRepeater::Engine> NotificationRepeater::take_due(TimePoint now) {
  std::map<EngineId, std::string> due;
  TimePoint needed = TimePoint::never();
  for (std::size_t i = 0; i < rounds_.size(); ++i) {
    auto& round = rounds_.at(i);
    if (round && round->due <= now) {
      for (const auto& change : changes_) {
        if (change.at >= round->since) {
          due[change.engine.id] = change.engine.uuid;
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
  while (!changes_.empty() && changes_.front().at < needed) {
    changes_.pop_front();
  }
  std::vector<Engine> engines;
  engines.reserve(due.size());
  for (auto& [id, uuid] : due) {
    engines.push_back({.id = id, .uuid = std::move(uuid)});
  }
  return engines;
}

TimePoint NotificationRepeater::next_deadline() const {
  TimePoint next = TimePoint::never();
  for (const auto& round : rounds_) {
    next = round ? std::min(next, round->due) : next;
  }
  return next;
}

void NotificationRepeater::check_invariants() const {
  IPF_CHECK(changes_.size() <= options_.changes_max);
  IPF_CHECK(changes_.empty() || next_deadline() != TimePoint::never());
  for (const auto& round : rounds_) {
    IPF_CHECK(!round || (round->due > round->since &&
                         (!round->next_since || *round->next_since >= round->since)));
  }
}

}  // namespace ipf
