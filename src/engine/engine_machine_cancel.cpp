#include <algorithm>

#include "engine/engine_machine.hpp"

/// How the machine ends what runs: interrupt, and if that does not help, the whole engine.
namespace ipf::engine {

void EngineMachine::control(RequestToken token, const Cancel& request) {
  if (!running_ || running_msg_id_ != request.msg_id) {
    const bool waits = std::ranges::any_of(
        queue_, [&](const Queued& queued) { return queued.msg_id == request.msg_id; });
    abort_queued({.msg_ids = {request.msg_id}, .moved = false});
    act(SendCancelled{.token = token, .outcome = waits ? "dequeued" : "unknown"});
    act(PublishIdle{.token = token});
    return;
  }
  cancels_.push_back(
      {.token = token,
       .deadline = request.grace < Duration{} ? TimePoint::never() : now_ + request.grace});
  act(Interrupt{});
}

void EngineMachine::settle_cancels(const std::string& outcome) {
  for (const auto& cancel : cancels_) {
    act(SendCancelled{.token = cancel.token, .outcome = outcome});
    act(PublishIdle{.token = cancel.token});
  }
  cancels_.clear();
}

void EngineMachine::check_cancels() {
  const bool due = std::ranges::any_of(
      cancels_, [this](const CancelWait& cancel) { return now_ >= cancel.deadline; });
  if (!due) {
    return;
  }
  note(LogLevel::warning, "ending this engine: a cancelled task did not end after its interrupt");
  settle_cancels("killed");
  act(StopPython{.restart = true});
  end_at_once("the task was cancelled; it did not end after its interrupt, so its engine was ended",
              0);
}

void EngineMachine::on_event(const EndOrdered& event) {
  settle_cancels("killed");
  end_at_once(event.reason, 1);
}

/// The main thread is not waited for; the request that runs gets a last word.
void EngineMachine::end_at_once(const std::string& evalue, int status) {
  if (running_ && phase_ == Phase::serving) {
    act(SendFailure{.token = *running_, .ename = "EngineError", .evalue = evalue});
    act(PublishIdle{.token = *running_});
  }
  running_.reset();
  queue_.clear();
  clears_.clear();
  signals_.clear();
  registration_deadline_ = TimePoint::never();
  phase_ = Phase::left;
  act(Leave{.status = status, .python_stopped = false});
}

}  // namespace ipf::engine
