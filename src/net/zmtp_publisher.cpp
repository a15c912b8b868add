#include "net/zmtp_publisher.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ipf {

namespace {

ZmtpRouter::Options options_of(const NetLimits& limits) {
  auto options = ZmtpRouter::Options::with({}, limits);
  options.type = ZmtpType::xpub;
  options.unsent_bytes_max = 2 * ZmtpPublisher::unsent_bytes_max;  // half of it is for reading
  return options;
}

}  // namespace

ZmtpPublisher::ZmtpPublisher(IoLoop& loop, std::string name, const NetLimits& limits, Log& log)
    : router_(loop, std::move(name), options_of(limits), log) {}

std::size_t ZmtpPublisher::take_subscriptions() {
  std::size_t fresh = 0;
  while (const auto frames = router_.receive()) {
    const std::string_view order = frames->size() == 2 ? (*frames)[1] : std::string_view{};
    if (order.empty()) {
      continue;
    }
    const std::string_view topic = order.substr(1);
    auto& topics = subscriptions_[std::string((*frames)[0])];
    if (order.front() == '\1' && topics.size() < subscriptions_max) {
      topics.emplace_back(topic);
      ++fresh;
    } else if (order.front() == '\0') {
      if (const auto found = std::ranges::find(topics, topic); found != topics.end()) {
        topics.erase(found);
      }
    }
  }
  return fresh;
}

void ZmtpPublisher::publish(const Frames& frames, std::size_t from) {
  const std::string_view topic = frames[from];
  for (auto peer = subscriptions_.begin(); peer != subscriptions_.end();) {
    const bool wanted = std::ranges::any_of(
        peer->second, [&](const auto& prefix) { return topic.starts_with(prefix); });
    const std::array<std::string_view, 1> route{peer->first};
    if (wanted && router_.send(route, frames, from) == SendResult::unroutable) {
      peer = subscriptions_.erase(peer);
    } else {
      ++peer;
    }
  }
}

}  // namespace ipf
