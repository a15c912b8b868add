#include "engine/work_queue.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/check.hpp"

namespace ipf::engine {

namespace {

/// Native requests are answered at once, and nobody could be told of the end of a notice.
bool can_be_aborted(RequestKind kind) {
  return kind != RequestKind::native && kind != RequestKind::notice;
}

void answer_aborted(RequestToken token, bool moved, Actions& actions) {
  actions.push_back(PublishBusy{.token = token});
  actions.push_back(SendAborted{.token = token, .moved = moved});
  actions.push_back(PublishIdle{.token = token});
}

}  // namespace

void WorkQueue::AbortIds::add(const std::string& id, bool moved, std::size_t most) {
  if (most == 0) {
    return;
  }
  if (const auto [known, is_new] = ids_.emplace(id, moved); !is_new) {
    known->second = known->second && moved;
    return;
  }
  order_.push_back(id);
  while (order_.size() > most) {
    ids_.erase(order_.front());
    order_.pop_front();
  }
}

std::optional<bool> WorkQueue::AbortIds::take(const std::string& id) {
  const auto found = ids_.find(id);
  if (found == ids_.end()) {
    return std::nullopt;
  }
  const bool moved = found->second;
  ids_.erase(found);
  return moved;
}

void WorkQueue::AbortIds::clear() {
  ids_.clear();
  order_.clear();
}

void WorkQueue::open(Actions& actions) {
  open_ = true;
  start_next(actions);
}

void WorkQueue::close() {
  open_ = false;
  queue_.clear();
  clears_.clear();
  abort_ids_.clear();
}

void WorkQueue::add(const RequestArrived& event, Actions& actions) {
  if (can_be_aborted(event.kind) && !abort_ids_.empty()) {
    if (const auto moved = abort_ids_.take(event.msg_id)) {
      answer_aborted(event.token, *moved, actions);
      return;
    }
  }
  if (queue_.size() >= options_.queue_max) {
    actions.push_back(PublishBusy{.token = event.token});
    actions.push_back(SendFailure{.token = event.token,
                                  .ename = "EngineError",
                                  .evalue = "the engine's queue is full (" +
                                            std::to_string(options_.queue_max) + " requests)"});
    actions.push_back(PublishIdle{.token = event.token});
    return;
  }
  queue_.push_back({.token = event.token, .kind = event.kind, .msg_id = event.msg_id});
  start_next(actions);
}

/// After a failed execute only those that wait are aborted, as if they had been typed in behind it.
std::vector<RequestToken> WorkQueue::take_executes() {
  std::vector<RequestToken> taken;
  std::erase_if(queue_, [&](const Queued& queued) {
    const bool hit = queued.kind == RequestKind::execute;
    if (hit) {
      taken.push_back(queued.token);
    }
    return hit;
  });
  return taken;
}

void WorkQueue::finish(const RequestFinished& event, Actions& actions) {
  IPF_CHECK(running_ && *running_ == event.token);
  running_.reset();
  settle_cancels(event.failed ? "interrupted" : "finished", actions);
  if (!open_) {
    return;  // the hub has been told that this engine is gone, and with it the client
  }
  const auto aborted = event.stops_queue ? take_executes() : std::vector<RequestToken>{};
  // The next request goes to Python before the reply is built and signed: both cores have work.
  std::optional<RequestToken> begun;
  if (clears_.empty() && !queue_.empty() && queue_.front().kind != RequestKind::native) {
    begun = queue_.front().token;
    running_msg_id_ = std::move(queue_.front().msg_id);
    queue_.pop_front();
    running_ = begun;
    actions.push_back(Execute{.token = *begun});
  }
  actions.push_back(SendResult{.token = event.token});
  actions.push_back(PublishIdle{.token = event.token});
  for (const auto token : aborted) {
    answer_aborted(token, false, actions);
  }
  if (begun) {
    actions.push_back(PublishBusy{.token = *begun});
  } else {
    start_next(actions);
  }
}

void WorkQueue::start_next(Actions& actions) {
  while (!running_ && open_) {
    if (!clears_.empty()) {
      running_ = clears_.front();
      clears_.pop_front();
      running_msg_id_.clear();
      actions.push_back(Clear{.token = *running_});
      return;
    }
    if (queue_.empty()) {
      return;
    }
    Queued next = std::move(queue_.front());
    queue_.pop_front();
    if (next.kind == RequestKind::native) {
      actions.push_back(PublishBusy{.token = next.token});
      actions.push_back(SendAnswer{.token = next.token});
      actions.push_back(PublishIdle{.token = next.token});
      continue;
    }
    running_ = next.token;
    running_msg_id_ = std::move(next.msg_id);
    actions.push_back(Execute{.token = next.token});
    actions.push_back(PublishBusy{.token = next.token});
  }
}

void WorkQueue::abort(const Abort& request, Actions& actions) {
  std::unordered_set<std::string> wanted(request.msg_ids.begin(), request.msg_ids.end());
  std::unordered_set<std::string> found;
  std::vector<RequestToken> aborted;
  std::erase_if(queue_, [&](const Queued& queued) {
    const bool hit =
        can_be_aborted(queued.kind) && (wanted.empty() || wanted.contains(queued.msg_id));
    if (hit) {
      aborted.push_back(queued.token);
      found.insert(queued.msg_id);
    }
    return hit;
  });
  for (const auto token : aborted) {
    answer_aborted(token, request.moved, actions);
  }
  for (const auto& id : request.msg_ids) {
    if (!found.contains(id)) {
      abort_ids_.add(id, request.moved, options_.abort_ids_max);
    }
  }
}

void WorkQueue::clear_namespace(RequestToken token, Actions& actions) {
  clears_.push_back(token);
  start_next(actions);
}

void WorkQueue::interrupt(Actions& actions) const {
  if (running_) {
    actions.push_back(Interrupt{});
  }
}

void WorkQueue::cancel(RequestToken token, const Cancel& request, TimePoint now, Actions& actions) {
  if (!running_ || running_msg_id_ != request.msg_id) {
    const bool waits = std::ranges::any_of(
        queue_, [&](const Queued& queued) { return queued.msg_id == request.msg_id; });
    abort({.msg_ids = {request.msg_id}, .moved = false}, actions);
    actions.push_back(SendCancelled{.token = token, .outcome = waits ? "dequeued" : "unknown"});
    actions.push_back(PublishIdle{.token = token});
    return;
  }
  cancels_.push_back(
      {.token = token,
       .deadline = request.grace < Duration{} ? TimePoint::never() : now + request.grace});
  actions.push_back(Interrupt{});
}

void WorkQueue::settle_cancels(const std::string& outcome, Actions& actions) {
  for (const auto& cancel : cancels_) {
    actions.push_back(SendCancelled{.token = cancel.token, .outcome = outcome});
    actions.push_back(PublishIdle{.token = cancel.token});
  }
  cancels_.clear();
}

TimePoint WorkQueue::next_deadline() const {
  TimePoint next = TimePoint::never();
  for (const auto& cancel : cancels_) {
    next = std::min(next, cancel.deadline);
  }
  return next;
}

void WorkQueue::end_at_once(const std::string& evalue, Actions& actions) {
  if (running_ && open_) {
    actions.push_back(SendFailure{.token = *running_, .ename = "EngineError", .evalue = evalue});
    actions.push_back(PublishIdle{.token = *running_});
  }
  running_.reset();
  close();
}

void WorkQueue::check_invariants() const {
  IPF_CHECK(queue_.size() <= options_.queue_max);
  IPF_CHECK(abort_ids_.remembered() <= options_.abort_ids_max);
  IPF_CHECK(cancels_.empty() || running_);
  if (open_) {
    // Work waits only behind work that runs.
    IPF_CHECK(running_ || (queue_.empty() && clears_.empty()));
  }
  for (std::size_t i = 1; i < queue_.size(); ++i) {
    IPF_CHECK(queue_[i - 1].token < queue_[i].token);
  }
  if (running_ && !queue_.empty()) {
    IPF_CHECK(*running_ != queue_.front().token);
  }
}

}  // namespace ipf::engine
