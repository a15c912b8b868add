#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace ipf {

/// Bounded queue from any number of threads to the one thread that owns the mailbox.
///
/// The owner takes everything at once with take(). A writer wakes the owner through `wake`, called
/// without the lock and only once until the owner takes again, so a burst costs one wake-up.
/// push() on a full mailbox waits for the owner (back-pressure) until close() is called, then it
/// returns false and drops the value.
template <class T>
class Mailbox {
 public:
  Mailbox(std::size_t capacity, std::function<void()> wake)
      : capacity_(capacity), wake_(std::move(wake)) {}
  Mailbox(const Mailbox&) = delete;
  Mailbox& operator=(const Mailbox&) = delete;

  bool push(T value) {
    bool wake_owner = false;
    {
      std::unique_lock lock(mutex_);
      space_.wait(lock, [this] { return items_.size() < capacity_ || closed_; });
      if (closed_) {
        return false;
      }
      items_.push_back(std::move(value));
      wake_owner = !std::exchange(woken_, true);
    }
    if (wake_owner && wake_) {
      wake_();
    }
    return true;
  }

  /// Pushes a whole batch, in order, with one lock; `batch` is empty afterwards. Does not wake the
  /// owner unless the mailbox is more than half full: the writer calls wake() when it is time.
  /// Waits only while the mailbox is full before the batch.
  bool push_quietly(std::vector<T>& batch) {
    bool filling = false;
    {
      std::unique_lock lock(mutex_);
      space_.wait(lock, [this] { return items_.size() < capacity_ || closed_; });
      if (closed_) {
        batch.clear();
        return false;
      }
      for (T& value : batch) {
        items_.push_back(std::move(value));
      }
      filling = items_.size() > capacity_ / 2;
    }
    batch.clear();
    if (filling) {
      wake();
    }
    return true;
  }

  /// Wakes the owner unless that was done since it took the last time.
  void wake() {
    bool wake_owner = false;
    {
      const std::scoped_lock lock(mutex_);
      wake_owner = !std::exchange(woken_, true);
    }
    if (wake_owner && wake_) {
      wake_();
    }
  }

  /// Moves everything that is waiting into `out`, which must be empty; reuses its memory.
  void take(std::vector<T>& out) {
    const std::scoped_lock lock(mutex_);
    woken_ = false;
    if (!items_.empty()) {
      items_.swap(out);
      space_.notify_all();
    }
  }

  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    space_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable space_;
  std::vector<T> items_;
  const std::size_t capacity_;
  const std::function<void()> wake_;
  bool woken_{false};  ///< since the owner took the last time
  bool closed_{false};
};

}  // namespace ipf
