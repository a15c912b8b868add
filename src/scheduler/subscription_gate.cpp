#include "scheduler/subscription_gate.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace ipf {

/// Remembers it from now on.
bool SubscriptionGate::is_known(TimePoint now, const std::string& session) {
  std::erase_if(known_, [now](const auto& entry) { return entry.second <= now; });
  if (const auto found = known_.find(session); found != known_.end()) {
    found->second = now + known_for;
    return true;
  }
  if (known_.size() < entries_max) {
    known_.emplace(session, now + known_for);
  }
  return false;
}

void SubscriptionGate::client_connected(TimePoint now, std::string session) {
  expire(now);
  if (is_known(now, session)) {
    return;
  }
  if (!unmatched_.empty()) {
    unmatched_.pop_front();
  } else if (connecting_.size() < entries_max) {
    connecting_.push_back({std::move(session), now + patience});
  }
}

void SubscriptionGate::subscribed(TimePoint now) {
  expire(now);
  if (!connecting_.empty()) {
    connecting_.pop_front();
  } else if (unmatched_.size() < entries_max) {
    unmatched_.push_back(now + patience);
  }
}

bool SubscriptionGate::holds(TimePoint now, std::string_view session) {
  expire(now);
  return std::any_of(connecting_.begin(), connecting_.end(),
                     [&](const Connecting& client) { return client.session == session; });
}

bool SubscriptionGate::expects_any(TimePoint now) {
  expire(now);
  return !connecting_.empty();
}

TimePoint SubscriptionGate::next_deadline() const {
  return connecting_.empty() ? TimePoint::never() : connecting_.front().deadline;
}

void SubscriptionGate::expire(TimePoint now) {
  while (!connecting_.empty() && connecting_.front().deadline <= now) {
    connecting_.pop_front();
  }
  while (!unmatched_.empty() && unmatched_.front() <= now) {
    unmatched_.pop_front();
  }
}

}  // namespace ipf
