#include "client/result_board.hpp"

#include <algorithm>
#include <chrono>
#include <unistd.h>

#include "core/check.hpp"

namespace ipf::client {

namespace {

Status to_status(ReplyStatus status) {
  switch (status) {
    case ReplyStatus::ok:
      return Status::ok;
    case ReplyStatus::error:
      return Status::error;
    case ReplyStatus::aborted:
      return Status::aborted;
  }
  return Status::error;
}

/// Tells the watchers of one kind, and keeps the others.
void tell_watchers(RequestState& state,
                   bool for_output,
                   std::vector<std::shared_ptr<Watch>>& woken) {
  const std::scoped_lock lock(state.mutex);
  (for_output ? state.output_done : state.done).store(true);
  std::erase_if(state.watchers, [&](RequestState::Watcher& watcher) {
    if (watcher.for_output != for_output) {
      return false;
    }
    auto watch = watcher.watch.lock();
    if (watch && watch->finish(watcher.index)) {
      woken.push_back(std::move(watch));
    }
    return true;
  });
}

}  // namespace

void RequestState::tell(const std::shared_ptr<Watch>& watch, std::uint32_t index, bool for_output) {
  if (!(for_output ? output_done : done).load() && origin->process != getpid()) {
    throw ClientError(ClientErrorCode::forked,
                      "process " + std::to_string(getpid()) +
                          " cannot wait for a request that its parent process sent");
  }
  {
    const std::scoped_lock lock(mutex);
    if (!(for_output ? output_done : done).load()) {
      // Whoever asks again and again must not leave a trace of each time.
      std::erase_if(watchers, [](const Watcher& watcher) { return watcher.watch.expired(); });
      watchers.push_back({watch, index, for_output});
      return;
    }
  }
  if (watch->finish(index)) {
    watch->wake();
  }
}

ResultBoard::ResultBoard(const ClientLimits& limits, std::string msg_id_prefix)
    : limits_(limits),
      origin_(std::make_shared<Origin>(Origin{std::move(msg_id_prefix), getpid()})) {}

std::string RequestState::msg_id() const {
  if (broadcast) {
    return origin->msg_id_prefix + part_id(*broadcast, target);
  }
  return origin->msg_id_prefix + std::to_string(number);
}

StatePtr ResultBoard::make(std::string type, std::string target, bool listed, WallTime now) const {
  auto state = std::make_shared<RequestState>();
  state->origin = origin_;
  state->type = std::move(type);
  state->target = std::move(target);
  state->submitted = now;
  state->listed = listed;
  return state;
}

void ResultBoard::check_room(std::size_t more) const {
  if (closed_) {
    throw ClientError(ClientErrorCode::closed, close_reason_);
  }
  if (outstanding_ + more > limits_.outstanding_max) {
    throw ClientError(ClientErrorCode::too_many, std::to_string(outstanding_) +
                                                     " requests are outstanding, which is the "
                                                     "limit; wait for some of them");
  }
}

void ResultBoard::insert(const StatePtr& state) {
  state->number = next_number_++;
  ++outstanding_;
  requests_.emplace(state->number, state);
}

StatePtr ResultBoard::add(std::string type, std::string target, bool listed, WallTime now) {
  auto state = make(std::move(type), std::move(target), listed, now);
  const std::scoped_lock lock(mutex_);
  check_room(1);
  insert(state);
  return state;
}

std::vector<StatePtr> ResultBoard::add_broadcast(const std::string& type,
                                                 std::span<const std::string> targets,
                                                 WallTime now) {
  std::vector<StatePtr> states;
  states.reserve(targets.size());
  for (const auto& target : targets) {
    states.push_back(make(type, target, true, now));
  }
  const std::scoped_lock lock(mutex_);
  check_room(states.size());
  const RequestNumber number = next_number_++;
  for (const auto& state : states) {
    state->broadcast = number;
    insert(state);
  }
  return states;
}

RequestState* ResultBoard::known(RequestNumber number) const {
  if (const auto found = requests_.find(number); found != requests_.end()) {
    return found->second.get();
  }
  const auto found = unfinished_outputs_.find(number);
  return found == unfinished_outputs_.end() ? nullptr : found->second.get();
}

void ResultBoard::publish(ClientActions& actions, WallTime now) {
  Woken woken;
  {
    const std::scoped_lock lock(mutex_);
    for (auto& action : actions) {
      if (auto* complete = std::get_if<CompleteRequest>(&action)) {
        perform(*complete, now, woken);
      } else if (auto* fail = std::get_if<FailRequest>(&action)) {
        perform(*fail, now, woken);
      } else if (auto* output = std::get_if<KeepOutput>(&action)) {
        perform(*output);
      } else if (const auto* truncated = std::get_if<MarkTruncated>(&action)) {
        perform(*truncated);
      } else if (const auto* end = std::get_if<EndOutput>(&action)) {
        perform(*end, woken);
      } else if (const auto* engines = std::get_if<PublishEngines>(&action)) {
        perform(*engines);
      }
    }
    drop_oldest();
  }
  for (const auto& watch : woken) {
    watch->wake();
  }
}

void ResultBoard::perform(CompleteRequest& action, WallTime now, Woken& woken) {
  RequestState* state = known(action.number);
  IPF_CHECK(state != nullptr && !state->done.load());
  const std::size_t bytes = action.reply.frames().total_bytes();
  state->reply.emplace(std::move(action.reply));
  state->status = to_status(action.status);
  state->received = now;
  finish(*state, bytes, woken);
}

void ResultBoard::perform(FailRequest& action, WallTime now, Woken& woken) {
  RequestState* state = known(action.number);
  IPF_CHECK(state != nullptr && !state->done.load());
  state->failure = std::move(action.failure);
  state->status = Status::error;
  state->received = now;
  finish(*state, 0, woken);
}

void ResultBoard::finish(RequestState& state, std::size_t bytes, Woken& woken) {
  --outstanding_;
  finished_.push_back({state.number, bytes});
  finished_bytes_ += bytes;
  tell_watchers(state, false, woken);
}

void ResultBoard::perform(KeepOutput& action) {
  if (RequestState* state = known(action.number)) {
    const std::scoped_lock lock(state->mutex);
    state->outputs.push_back({std::move(action.type), std::move(action.message)});
  }
}

void ResultBoard::perform(const MarkTruncated& action) {
  if (RequestState* state = known(action.number)) {
    const std::scoped_lock lock(state->mutex);
    state->truncated = true;
  }
}

void ResultBoard::perform(const EndOutput& action, Woken& woken) {
  RequestState* state = known(action.number);
  IPF_CHECK(state != nullptr && !state->output_done.load());
  tell_watchers(*state, true, woken);
  unfinished_outputs_.erase(action.number);
}

void ResultBoard::perform(const PublishEngines& action) {
  engines_.clear();
  for (const auto& engine : action.engines) {
    engines_.push_back({engine.id.value, engine.uuid});
  }
  listed_ = true;
  ++engines_version_;
  engines_changed_.notify_all();
}

void ResultBoard::drop_oldest() {
  while (!finished_.empty() && (finished_.size() > limits_.kept_results_max ||
                                finished_bytes_ > limits_.kept_bytes_max)) {
    const Finished oldest = finished_.front();
    finished_.pop_front();
    finished_bytes_ -= oldest.bytes;
    drop(oldest.number);
  }
}

void ResultBoard::drop(RequestNumber number) {
  auto node = requests_.extract(number);
  if (!node.empty() && !node.mapped()->output_done.load()) {
    unfinished_outputs_.insert(std::move(node));
  }
}

bool ResultBoard::forget(RequestNumber number) {
  const std::scoped_lock lock(mutex_);
  const auto found = requests_.find(number);
  if (found == requests_.end() || !found->second->done.load()) {
    return false;
  }
  // Its entry in finished_ stays until it is the oldest one; there is nothing left to drop then.
  drop(number);
  return true;
}

void ResultBoard::close(const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  if (!closed_) {
    closed_ = true;
    close_reason_ = reason;
  }
  engines_.clear();
  ++engines_version_;
  engines_changed_.notify_all();
}

StatePtr ResultBoard::find(RequestNumber number) const {
  const std::scoped_lock lock(mutex_);
  const auto found = requests_.find(number);
  return found == requests_.end() ? nullptr : found->second;
}

StatePtr ResultBoard::find(RequestNumber broadcast, std::string_view target) const {
  const std::scoped_lock lock(mutex_);
  // The requests of a broadcast have the numbers behind its own; some may be forgotten.
  for (RequestNumber number = broadcast + 1; number < next_number_; ++number) {
    const auto found = requests_.find(number);
    if (found == requests_.end()) {
      continue;
    }
    if (found->second->broadcast != broadcast) {
      return nullptr;
    }
    if (found->second->target == target) {
      return found->second;
    }
  }
  return nullptr;
}

template <class Wanted>
std::vector<StatePtr> ResultBoard::listed(Wanted wanted) const {
  std::vector<StatePtr> states;
  {
    const std::scoped_lock lock(mutex_);
    for (const auto& [number, state] : requests_) {
      if (state->listed && wanted(*state)) {
        states.push_back(state);
      }
    }
  }
  std::ranges::sort(states, {}, [](const StatePtr& state) { return state->number; });
  return states;
}

std::vector<StatePtr> ResultBoard::outstanding() const {
  return listed([](const RequestState& state) { return !state.done.load(); });
}

std::size_t ResultBoard::outstanding_count() const {
  const std::scoped_lock lock(mutex_);
  return outstanding_;
}

std::vector<StatePtr> ResultBoard::history() const {
  return listed([](const RequestState&) { return true; });
}

std::vector<EngineInfo> ResultBoard::engines() const {
  const std::scoped_lock lock(mutex_);
  return engines_;
}

template <class Done>
bool ResultBoard::wait_for_engines_until(std::unique_lock<std::mutex>& lock,
                                         Timeout timeout,
                                         Done done) const {
  // A time that the clock cannot add to its reading is as good as for ever.
  if (timeout > std::chrono::hours(24 * 365 * 10)) {
    engines_changed_.wait(lock, done);
    return true;
  }
  return engines_changed_.wait_for(lock, timeout, done);
}

bool ResultBoard::wait_listed(Timeout timeout) const {
  std::unique_lock lock(mutex_);
  wait_for_engines_until(lock, timeout, [this] { return listed_ || closed_; });
  return listed_ && !closed_;
}

bool ResultBoard::wait_engines(std::size_t count, Timeout timeout) const {
  std::unique_lock lock(mutex_);
  wait_for_engines_until(lock, timeout,
                         [this, count] { return engines_.size() >= count || closed_; });
  return !closed_ && engines_.size() >= count;
}

bool ResultBoard::closed() const {
  const std::scoped_lock lock(mutex_);
  return closed_;
}

std::string ResultBoard::close_reason() const {
  const std::scoped_lock lock(mutex_);
  return close_reason_;
}

}  // namespace ipf::client
