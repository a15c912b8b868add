#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

#include "protocol/frames.hpp"

namespace ipf::engine {

/// The last replies, for a request that comes a second time: a controller that was killed and
/// restored, or a client that lost its connection, sends again what it has no answer to. The
/// request must not run twice, but its reply may have been on the way to a connection that was
/// dying, and is sent again.
///
/// Bounded by number and bytes, the oldest being dropped first; a reply larger than all of that is
/// kept until the next one. One thread.
class SentReplies {
 public:
  static constexpr std::size_t count_max = 1024;
  static constexpr std::size_t bytes_max = std::size_t{64} << 20U;

  void add(std::string msg_id, Frames reply) {
    bytes_ += reply.total_bytes();
    replies_.push_back({std::move(msg_id), std::move(reply)});
    while (replies_.size() > 1 && (replies_.size() > count_max || bytes_ > bytes_max)) {
      bytes_ -= replies_.front().frames.total_bytes();
      replies_.pop_front();
    }
  }
  /// nullptr if there is none (any more), or none yet: then the request is still in work.
  [[nodiscard]] const Frames* find(std::string_view msg_id) const {
    for (auto at = replies_.rbegin(); at != replies_.rend(); ++at) {
      if (at->msg_id == msg_id) {
        return &at->frames;
      }
    }
    return nullptr;
  }
  /// The newest reply to this request is not to be sent again.
  void forget(std::string_view msg_id) {
    for (auto at = replies_.end(); at != replies_.begin();) {
      --at;
      if (at->msg_id == msg_id) {
        bytes_ -= at->frames.total_bytes();
        replies_.erase(at);
        return;
      }
    }
  }
  void clear() {
    replies_.clear();
    bytes_ = 0;
  }

 private:
  struct Reply {
    std::string msg_id{};
    Frames frames{};
  };
  std::deque<Reply> replies_;
  std::size_t bytes_{};
};

}  // namespace ipf::engine
