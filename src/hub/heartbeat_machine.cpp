#include "hub/heartbeat_machine.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "core/check.hpp"

namespace ipf {

namespace {

/// Seconds since the start as a decimal number, as the reference sends it.
std::string ping_text(Duration since_start) {
  constexpr std::int64_t nanos_per_second = 1'000'000'000;
  std::array<char, 40> text{};
  const std::int64_t nanos = std::max<std::int64_t>(0, since_start.count());
  std::snprintf(text.data(), text.size(), "%lld.%09lld",
                static_cast<long long>(nanos / nanos_per_second),
                static_cast<long long>(nanos % nanos_per_second));
  return text.data();
}

HeartbeatMachine::Options completed(HeartbeatMachine::Options options) {
  if (options.late_max <= Duration{}) {
    options.late_max = std::max<Duration>(options.period, std::chrono::seconds{1});
  }
  return options;
}

}  // namespace

HeartbeatMachine::HeartbeatMachine(const Options& options, TimePoint now)
    : options_(completed(options)), start_(now), period_end_(now) {}

bool HeartbeatMachine::expect(const std::string& uuid, TimePoint now) {
  if (hearts_.size() >= options_.hearts_max && !hearts_.contains(uuid)) {
    return false;
  }
  std::erase(stopped_, uuid);
  auto [heart, is_new] = hearts_.try_emplace(uuid);
  if (is_new || heart->second.beating) {
    heart->second = {};
    ++expected_;
  }
  probe_distance_ = options_.probe_first;
  next_probe_ =
      expected_ > 1 ? std::min(next_probe_, now + probe_distance_) : now + probe_distance_;
  return true;
}

void HeartbeatMachine::forget(std::string_view uuid) {
  std::erase(stopped_, uuid);
  const auto heart = hearts_.find(std::string(uuid));
  if (heart == hearts_.end()) {
    return;
  }
  expected_ -= heart->second.beating ? 0U : 1U;
  hearts_.erase(heart);
}

void HeartbeatMachine::judge(Events& events) {
  std::vector<std::string> stopped;
  std::vector<std::string> suspected;
  for (auto& [uuid, heart] : hearts_) {
    if (!heart.beating) {
      continue;
    }
    heart.misses = heart.answered ? 0 : heart.misses + 1;
    if (heart.misses > options_.misses_max) {
      stopped.push_back(uuid);
    } else if (heart.misses == options_.suspect_after) {
      suspected.push_back(uuid);
    }
  }
  std::ranges::sort(stopped);  // the order of a hash table decides nothing
  std::ranges::sort(suspected);
  for (auto& uuid : suspected) {
    events.emplace_back(HeartSuspected{.uuid = std::move(uuid)});
  }
  for (auto& uuid : stopped) {
    hearts_.erase(uuid);
    note_stopped(uuid);
    events.emplace_back(HeartStopped{.uuid = std::move(uuid)});
  }
}

void HeartbeatMachine::note_stopped(const std::string& uuid) {
  stopped_.push_back(uuid);
  if (stopped_.size() > options_.stopped_max) {
    stopped_.pop_front();
  }
}

void HeartbeatMachine::end_period(TimePoint now, Events& events) {
  const bool was_stopped = now > period_end_ + options_.late_max;
  if (!was_stopped) {
    judge(events);
  }
  for (auto& [uuid, heart] : hearts_) {
    heart.answered = false;
  }
  ++period_;
  while (!pings_.empty() && pings_.front().period + 1 < period_) {
    pings_.pop_front();
  }
  period_end_ = now + options_.period;
}

std::string HeartbeatMachine::beat(TimePoint now, Events& events) {
  if (now >= period_end_) {
    end_period(now, events);
  } else if (!pings_.empty() && now < last_ping_ + options_.probe_first) {
    next_probe_ = last_ping_ + options_.probe_first;
    return {};
  }
  if (expected_ > 0) {
    probe_distance_ = std::clamp(probe_distance_ + probe_distance_ / 4, options_.probe_first,
                                 options_.probe_last);
    next_probe_ = now + probe_distance_;
  }
  if (pings_.size() >= options_.pings_max) {
    pings_.pop_front();
  }
  pings_.push_back({.text = ping_text(now - start_), .period = period_});
  last_ping_ = now;
  return pings_.back().text;
}

bool HeartbeatMachine::is_recent_ping(std::string_view text) const {
  // Newest first: nearly every pong answers the last ping.
  return std::any_of(pings_.rbegin(), pings_.rend(),
                     [text](const Ping& ping) { return ping.text == text; });
}

void HeartbeatMachine::pong(std::string_view uuid,
                            std::string_view text,
                            TimePoint /*now*/,
                            Events& events) {
  const auto heart = hearts_.find(std::string(uuid));
  if (heart == hearts_.end()) {
    if (!stopped_.empty() && hearts_.size() < options_.hearts_max && is_recent_ping(text) &&
        std::erase(stopped_, uuid) > 0) {
      hearts_.emplace(uuid, Heart{.beating = true, .answered = true});
      events.emplace_back(HeartReturned{.uuid = std::string(uuid)});
    }
    return;
  }
  if (!is_recent_ping(text)) {
    return;
  }
  heart->second.answered = true;
  if (heart->second.beating && heart->second.misses >= options_.suspect_after) {
    events.emplace_back(HeartTrusted{.uuid = heart->first});
  }
  heart->second.misses = 0;
  if (!heart->second.beating) {
    heart->second.beating = true;
    --expected_;
    events.emplace_back(HeartStarted{.uuid = heart->first});
  }
}

TimePoint HeartbeatMachine::next_deadline() const {
  return expected_ > 0 ? std::min(period_end_, next_probe_) : period_end_;
}

void HeartbeatMachine::check_invariants() const {
  IPF_CHECK(hearts_.size() <= options_.hearts_max);
  std::size_t expected = 0;
  for (const auto& [uuid, heart] : hearts_) {
    IPF_CHECK(heart.misses <= options_.misses_max);
    IPF_CHECK(heart.beating || (!heart.answered && heart.misses == 0));
    expected += heart.beating ? 0U : 1U;
  }
  IPF_CHECK(expected == expected_);
  IPF_CHECK(stopped_.size() <= options_.stopped_max);
  for (const auto& uuid : stopped_) {
    IPF_CHECK(!hearts_.contains(uuid));
  }
  IPF_CHECK(pings_.size() <= options_.pings_max);
  for (const auto& ping : pings_) {
    IPF_CHECK(ping.period <= period_ && ping.period + 1 >= period_);
  }
}

}  // namespace ipf
