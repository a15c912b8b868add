#include "engine/execution_queue.hpp"

#include <csignal>
#include <ctime>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <utility>

#include <climits>

#include "core/check.hpp"

namespace ipf::engine {

ExecutionQueue::ExecutionQueue() : main_thread_(pthread_self()) {}

void ExecutionQueue::wake() {
  events_.fetch_add(1);
  if (sleeping_.load()) {
    syscall(SYS_futex, &events_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
}

void ExecutionQueue::sleep(std::uint32_t seen, Duration most) {
  timespec limit{};
  limit.tv_sec = most.count() / 1'000'000'000;
  limit.tv_nsec = most.count() % 1'000'000'000;
  sleeping_.store(true);
  // Not std::condition_variable: that one goes on sleeping after a signal.
  syscall(SYS_futex, &events_, FUTEX_WAIT_PRIVATE, seen, &limit, nullptr, 0);
  sleeping_.store(false);
}

void ExecutionQueue::hand_over(WorkItem item) {
  {
    const std::scoped_lock lock(mutex_);
    IPF_CHECK(stage_ == Stage::idle && !item_);
    item_.emplace(std::move(item));
    stage_ = Stage::handed_over;
    interrupted_ = false;
  }
  wake();
}

void ExecutionQueue::admit(EngineId id) {
  {
    const std::scoped_lock lock(mutex_);
    id_ = id;
  }
  wake();
}

void ExecutionQueue::interrupt() {
  const std::scoped_lock lock(mutex_);
  if (stage_ == Stage::handed_over) {
    interrupted_ = true;
  } else if (stage_ == Stage::running) {
    // Under the lock: the signal is pending before finish() can return.
    pthread_kill(main_thread_, SIGINT);
  }
}

void ExecutionQueue::stop() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  wake();
}

void ExecutionQueue::nudge() {
  {
    const std::scoped_lock lock(mutex_);
    nudged_ = true;
  }
  wake();
}

ExecutionQueue::Taken ExecutionQueue::take(Duration most) {
  for (bool waited = false;; waited = true) {
    const std::uint32_t seen = events_.load();
    {
      const std::scoped_lock lock(mutex_);
      if (item_) {
        Taken taken{.outcome = Outcome::work, .item = std::move(item_)};
        item_.reset();
        return taken;
      }
      if (stopped_) {
        return {.outcome = Outcome::stopped};
      }
      if (std::exchange(nudged_, false) || waited) {
        return {.outcome = Outcome::nudged};
      }
    }
    sleep(seen, most);
  }
}

bool ExecutionQueue::begin() {
  const std::scoped_lock lock(mutex_);
  IPF_CHECK(stage_ == Stage::handed_over && !item_);
  stage_ = Stage::running;
  return interrupted_;
}

void ExecutionQueue::finish() {
  const std::scoped_lock lock(mutex_);
  IPF_CHECK(stage_ == Stage::running);
  stage_ = Stage::idle;
}

std::optional<EngineId> ExecutionQueue::wait_admitted() {
  constexpr Duration nap = std::chrono::seconds(1);
  while (true) {
    const std::uint32_t seen = events_.load();
    {
      const std::scoped_lock lock(mutex_);
      if (stopped_) {
        return std::nullopt;
      }
      if (id_) {
        return id_;
      }
    }
    sleep(seen, nap);
  }
}

}  // namespace ipf::engine
