#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "ipyfleet/types.hpp"

namespace ipf::client {

/// Where one thread waits for some of a set of requests.
///
/// The mailbox serves one owner that takes everything; here any number of threads each wait for
/// requests of their own, which needs a lock and a condition for each. The IO thread adds what has
/// finished and wakes the waiter once a round, and only when that has what it waits for.
class Watch {
 public:
  explicit Watch(std::size_t open) : open_(open) {}
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// One more request belongs to the set.
  void expect();
  /// A request of the set has finished; returns true when the waiter is to be woken by wake().
  bool finish(std::uint32_t index);
  void wake();

  /// What has finished since the last call; waits for at least one.
  std::vector<std::uint32_t> next(Timeout timeout);
  bool wait_all(Timeout timeout);
  [[nodiscard]] std::size_t open();

 private:
  enum class Want { nothing, any, all };

  [[nodiscard]] bool satisfied() const;
  /// Waits until satisfied(); the lock is held.
  bool wait(std::unique_lock<std::mutex>& lock, Want want, Timeout timeout);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::uint32_t> finished_;
  std::size_t open_;
  Want want_{Want::nothing};
};

}  // namespace ipf::client
