#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <utility>

#include "engine/engine_events.hpp"
#include "protocol/message.hpp"

namespace ipf::engine {

/// One control request that Python answers.
struct ControlItem {
  RequestToken token{};
  Message message;
};

/// The way of control requests from the IO thread to the thread that answers them in Python while
/// the main thread runs user code.
class ControlQueue {
 public:
  static constexpr std::size_t waiting_max = 1000;

  /// IO thread. False when too many wait already.
  bool push(ControlItem item) {
    const std::scoped_lock lock(mutex_);
    if (items_.size() >= waiting_max || closed_) {
      return false;
    }
    items_.push_back(std::move(item));
    changed_.notify_one();
    return true;
  }
  /// The thread that answers: waits for the next one; nothing when it is closed.
  std::optional<ControlItem> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (closed_) {
      return std::nullopt;
    }
    ControlItem item = std::move(items_.front());
    items_.pop_front();
    return item;
  }
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<ControlItem> items_;
  bool closed_{};
};

}  // namespace ipf::engine
