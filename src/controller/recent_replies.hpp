#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/clock.hpp"
#include "protocol/frames.hpp"

namespace ipf {

/// Answers that an earlier controller gave just before it ended: the client may not have got them,
/// and then asks again. Bounded in time and bytes, the oldest being dropped first; after that the
/// hub's records remain. One thread.
class RecentReplies {
 public:
  static constexpr Duration keep_time = std::chrono::minutes(10);
  static constexpr std::size_t bytes_max = std::size_t{256} << 20U;

  /// `reply` from its delimiter on.
  void add(TimePoint now, const std::string& msg_id, Frames reply) {
    bytes_ += reply.total_bytes();
    if (replies_.insert_or_assign(msg_id, std::move(reply)).second) {
      order_.emplace_back(now + keep_time, msg_id);
    }
    while (bytes_ > bytes_max) {
      drop_oldest();
    }
  }
  [[nodiscard]] const Frames* find(const std::string& msg_id) const {
    const auto found = replies_.find(msg_id);
    return found == replies_.end() ? nullptr : &found->second;
  }
  void expire(TimePoint now) {
    while (!order_.empty() && order_.front().first <= now) {
      drop_oldest();
    }
  }

 private:
  void drop_oldest() {
    const auto found = replies_.find(order_.front().second);
    bytes_ -= found->second.total_bytes();
    replies_.erase(found);
    order_.pop_front();
  }

  std::unordered_map<std::string, Frames> replies_;
  std::deque<std::pair<TimePoint, std::string>> order_;
  std::size_t bytes_{};
};

}  // namespace ipf
