#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>

#include "core/clock.hpp"
#include "hub/hub_events.hpp"
#include "protocol/requests.hpp"

namespace ipf {

/// Clients' explain_requests that the task scheduler has not answered yet. Each gets one reply: the
/// explanations, or an error when the scheduler is silent for too long or too many wait. One thread
/// (the hub's). Pure.
///
///     explain_request {"msg_ids": [...]}
///     explain_reply   {"status": "ok", "explanations": {"<msg_id>": {"state", "reason"}}}
class TaskQuestions {
 public:
  struct Options {
    std::size_t waiting_max{1024};
    Duration patience{std::chrono::seconds(2)};
  };

  TaskQuestions() : TaskQuestions(Options{}) {}
  explicit TaskQuestions(const Options& options) : options_(options) {}

  void ask(TimePoint now, const Message& from, const ExplainRequest& request, HubActions& actions);
  /// An answer that nobody waits for any more is dropped.
  void answer(const TasksExplained& event, HubActions& actions);
  void expire(TimePoint now, HubActions& actions);
  [[nodiscard]] TimePoint next_deadline() const;

 private:
  struct Waiting {
    Message request;
    TimePoint deadline{};
  };

  Options options_;
  std::map<std::uint64_t, Waiting> waiting_;  ///< by token, which is also the order of deadlines
  std::uint64_t last_token_{};
};

}  // namespace ipf
