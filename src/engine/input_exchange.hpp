#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/clock.hpp"

namespace ipf::engine {

/// The way of one line of input from a frontend to the thread that waits for it in Python.
///
/// One question at a time: the asker holds a lock of its own. An answer to a question that nobody
/// waits for any more is dropped. Any thread; the mutex is held for a few instructions only.
class InputExchange {
 public:
  enum class State { waiting, answered, refused };
  struct Outcome {
    State state{State::waiting};
    std::string text{};
  };

  // the asker ----
  /// The number of a new question; one that was open is forgotten.
  std::uint64_t begin() {
    const std::scoped_lock lock(mutex_);
    outcome_ = closed_ ? Outcome{.state = State::refused} : Outcome{};
    return ++question_;
  }
  /// Waits until there is an outcome, not longer than `most`.
  Outcome wait(Duration most) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, most, [this] { return outcome_.state != State::waiting; });
    return outcome_;
  }
  /// Nobody waits any more.
  void abandon() {
    const std::scoped_lock lock(mutex_);
    ++question_;
  }

  // IO thread ----
  void answer(std::uint64_t question, std::string text) {
    settle(question, {.state = State::answered, .text = std::move(text)});
  }
  /// There is nobody to ask.
  void refuse(std::uint64_t question) { settle(question, {.state = State::refused}); }
  /// From now on every question is refused.
  void close() {
    const std::scoped_lock lock(mutex_);
    closed_ = true;
    outcome_ = {.state = State::refused};
    changed_.notify_all();
  }

 private:
  void settle(std::uint64_t question, Outcome outcome) {
    const std::scoped_lock lock(mutex_);
    if (question == question_ && outcome_.state == State::waiting) {
      outcome_ = std::move(outcome);
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t question_{};
  Outcome outcome_{};
  bool closed_{};
};

}  // namespace ipf::engine
