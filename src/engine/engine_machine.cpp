#include "engine/engine_machine.hpp"

#include <algorithm>
#include <chrono>
#include <unordered_set>
#include <utility>

#include "core/check.hpp"

namespace ipf::engine {

namespace {

constexpr Duration registration_note_every = std::chrono::seconds(5);
/// The engine looks for a ping this much later than the controller's period (protocol.md 4.2).
constexpr Duration ping_slack = std::chrono::milliseconds(500);
constexpr int status_registration_failed = 255;
constexpr int status_failed = 1;

std::string seconds_text(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

/// Native requests are answered at once, and nobody could be told of the end of a notice.
bool can_be_aborted(RequestKind kind) {
  return kind != RequestKind::native && kind != RequestKind::notice;
}

}  // namespace

void EngineMachine::AbortIds::add(const std::string& id, bool moved, std::size_t most) {
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

std::optional<bool> EngineMachine::AbortIds::take(const std::string& id) {
  const auto found = ids_.find(id);
  if (found == ids_.end()) {
    return std::nullopt;
  }
  const bool moved = found->second;
  ids_.erase(found);
  return moved;
}

void EngineMachine::AbortIds::clear() {
  ids_.clear();
  order_.clear();
}

void EngineMachine::step(TimePoint now, const Event& event, Actions& actions) {
  if (phase_ == Phase::left) {
    return;
  }
  now_ = now;
  actions_ = &actions;
  std::visit([this](const auto& known) { on_event(known); }, event);
  actions_ = nullptr;
}

TimePoint EngineMachine::next_deadline() const {
  TimePoint next = std::min(
      {registration_deadline_, registration_note_, ping_deadline_, ask_again_, stop_deadline_});
  for (const auto& signal : signals_) {
    next = std::min(next, signal.due);
  }
  for (const auto& cancel : cancels_) {
    next = std::min(next, cancel.deadline);
  }
  return next;
}

// ---- registration -------------------------------------------------------------------------------

void EngineMachine::on_event(const EngineStarted& /*event*/) {
  IPF_CHECK(phase_ == Phase::created);
  phase_ = Phase::registering;
  registration_since_ = now_;
  registration_deadline_ = now_ + options_.registration_timeout;
  registration_note_ = now_ + registration_note_every;
  act(SendRegistration{});
}

void EngineMachine::on_event(const RegistrationAccepted& event) {
  if (asking_ && id_ && phase_ != Phase::stopping) {
    if (*id_ != event.id) {
      note(LogLevel::warning,
           "the controller gave this engine another id: " + std::to_string(event.id.value) +
               ", not " + std::to_string(id_->value));
    }
    id_ = event.id;
    ping_interval_ = event.ping_period + ping_slack;
    ping_deadline_ = now_ + ping_interval_;
    on_known_again(event.id);
    act(ConnectSockets{.id = event.id});
    return;
  }
  if (phase_ != Phase::registering) {
    note(LogLevel::warning, "ignored a registration reply that nobody waited for");
    return;
  }
  ping_interval_ = event.ping_period + ping_slack;
  registration_deadline_ = TimePoint::never();
  registration_note_ = TimePoint::never();
  last_ping_ = now_;
  ping_deadline_ = now_ + ping_interval_;
  join(event.id);
}

void EngineMachine::on_event(const KernelOpened& /*event*/) {
  IPF_CHECK(phase_ == Phase::created);
  join(EngineId{0});
}

void EngineMachine::join(EngineId id) {
  phase_ = Phase::connected;
  id_ = id;
  act(ConnectSockets{.id = id});
  act(PublishStarting{});
  if (shell_started_) {
    phase_ = Phase::serving;
    start_next();
  }
}

void EngineMachine::on_event(const RegistrationRefused& event) {
  if (asking_ && id_ && phase_ != Phase::stopping) {
    if (event.known) {
      on_known_again(*id_);
      act(ConnectSockets{.id = *id_});
    } else {
      note(LogLevel::warning, "the controller refuses this engine: " + event.reason);
    }
    return;
  }
  if (phase_ != Phase::registering) {
    note(LogLevel::warning, "ignored a registration reply that nobody waited for");
    return;
  }
  note(LogLevel::error, "The controller refused this engine: " + event.reason);
  stop(status_registration_failed);
}

void EngineMachine::on_event(const ConnectionReplaced& /*event*/) {
  if (id_ && phase_ != Phase::stopping) {
    note(LogLevel::info, "the connection file has changed; going to the new controller");
    register_again(false);
    return;
  }
  if (phase_ != Phase::registering) {
    return;
  }
  note(LogLevel::info, "the connection file has changed; registering with the new controller");
  registration_since_ = now_;
  registration_deadline_ = now_ + options_.registration_timeout;
  registration_note_ = now_ + registration_note_every;
  act(SendRegistration{});
}

void EngineMachine::check_registration() {
  if (phase_ != Phase::registering) {
    return;
  }
  if (now_ >= registration_deadline_) {
    stop_unregistered(status_registration_failed,
                      "Registration timed out after " +
                          seconds_text(options_.registration_timeout) +
                          ": the controller does not answer; does it run, and are address, key and "
                          "--ident right?");
    return;
  }
  if (now_ >= registration_note_) {
    registration_note_ = now_ + registration_note_every;
    note(LogLevel::info, "waiting for the controller to answer the registration (" +
                             seconds_text(now_ - registration_since_) + " of at most " +
                             seconds_text(options_.registration_timeout) + ")");
  }
}

// ---- Python -------------------------------------------------------------------------------------

void EngineMachine::on_event(const ShellStarted& /*event*/) {
  shell_started_ = true;
  if (phase_ == Phase::connected) {
    phase_ = Phase::serving;
    start_next();
  }
}

void EngineMachine::on_event(const ShellFailed& /*event*/) {
  if (phase_ != Phase::stopping) {
    stop_unregistered(status_failed, "the engine's Python shell could not be started");
  }
}

void EngineMachine::on_event(const PythonStopped& /*event*/) {
  if (phase_ != Phase::stopping) {
    stop_unregistered(status_failed, "the engine's Python has ended");
  }
  phase_ = Phase::left;
  act(Leave{.status = exit_status_, .python_stopped = true});
}

// ---- heart --------------------------------------------------------------------------------------

void EngineMachine::on_event(const PingArrived& /*event*/) {
  if (!id_ || phase_ == Phase::stopping) {
    return;
  }
  missed_pings_ = 0;
  ping_deadline_ = now_ + ping_interval_;
  if (now_ - last_ping_ > silence_max() && !asking_) {
    begin_silence();
    register_again(false);
  }
  last_ping_ = now_;
  if (phase_ != Phase::serving || holds_pings()) {
    return;
  }
  act(AnswerPing{});
  if (!first_ping_answered_) {
    first_ping_answered_ = true;
    note(LogLevel::info, "Completed registration with id " + std::to_string(id_->value));
  }
}

void EngineMachine::check_heart() {
  if (now_ < ping_deadline_ || phase_ == Phase::stopping) {
    return;
  }
  if (const Duration late = now_ - ping_deadline_;
      late > ping_interval_ && lost_since_ != TimePoint::never()) {
    lost_since_ = lost_since_ + late;  // this process was stopped
  }
  if (now_ - last_ping_ > silence_max()) {
    begin_silence();
  }
  if (lost_for_good()) {
    return;
  }
  // Counted from now: a machine that slept for hours has missed one ping, not thousands.
  ping_deadline_ = now_ + ping_interval_;
  ++missed_pings_;
  if (options_.missed_pings_max > 0 && missed_pings_ >= options_.missed_pings_max) {
    stop_unregistered(status_failed, "the controller has sent no ping for " +
                                         seconds_text(ping_interval_ * missed_pings_) +
                                         "; giving it up");
  }
}

// ---- shell requests -----------------------------------------------------------------------------

void EngineMachine::on_event(const RequestArrived& event) {
  if (phase_ == Phase::stopping) {
    return;
  }
  if (can_be_aborted(event.kind) && !abort_ids_.empty()) {
    if (const auto moved = abort_ids_.take(event.msg_id)) {
      answer_aborted(event.token, *moved);
      return;
    }
  }
  if (queue_.size() >= options_.queue_max) {
    act(PublishBusy{.token = event.token});
    act(SendFailure{.token = event.token,
                    .ename = "EngineError",
                    .evalue = "the engine's queue is full (" + std::to_string(options_.queue_max) +
                              " requests)"});
    act(PublishIdle{.token = event.token});
    return;
  }
  queue_.push_back({.token = event.token, .kind = event.kind, .msg_id = event.msg_id});
  if (!running_) {
    start_next();
  }
}

void EngineMachine::on_event(const RequestFinished& event) {
  IPF_CHECK(running_ && *running_ == event.token);
  running_.reset();
  settle_cancels(event.failed ? "interrupted" : "finished");
  if (phase_ == Phase::stopping) {
    return;  // the hub has been told that this engine is gone, and with it the client
  }
  std::vector<RequestToken> aborted;
  if (event.stops_queue) {
    std::erase_if(queue_, [&](const Queued& queued) {
      const bool stopped = queued.kind == RequestKind::execute;
      if (stopped) {
        aborted.push_back(queued.token);
      }
      return stopped;
    });
  }
  // The next request goes to Python before the reply is built and signed: both cores have work.
  std::optional<RequestToken> begun;
  if (phase_ == Phase::serving && clears_.empty() && !queue_.empty() &&
      queue_.front().kind != RequestKind::native) {
    begun = queue_.front().token;
    running_msg_id_ = std::move(queue_.front().msg_id);
    queue_.pop_front();
    running_ = begun;
    act(Execute{.token = *begun});
  }
  act(SendResult{.token = event.token});
  act(PublishIdle{.token = event.token});
  for (const auto token : aborted) {
    answer_aborted(token);
  }
  if (begun) {
    act(PublishBusy{.token = *begun});
  } else {
    start_next();
  }
}

void EngineMachine::start_next() {
  while (!running_ && phase_ == Phase::serving) {
    if (!clears_.empty()) {
      running_ = clears_.front();
      clears_.pop_front();
      running_msg_id_.clear();
      act(Clear{.token = *running_});
      return;
    }
    if (queue_.empty()) {
      return;
    }
    Queued next = std::move(queue_.front());
    queue_.pop_front();
    if (next.kind == RequestKind::native) {
      act(PublishBusy{.token = next.token});
      act(SendAnswer{.token = next.token});
      act(PublishIdle{.token = next.token});
      continue;
    }
    running_ = next.token;
    running_msg_id_ = std::move(next.msg_id);
    act(Execute{.token = next.token});
    act(PublishBusy{.token = next.token});
  }
}

void EngineMachine::answer_aborted(RequestToken token, bool moved) {
  act(PublishBusy{.token = token});
  act(SendAborted{.token = token, .moved = moved});
  act(PublishIdle{.token = token});
}

// ---- control requests ---------------------------------------------------------------------------

void EngineMachine::on_event(const ControlArrived& event) {
  if (phase_ == Phase::stopping) {
    return;
  }
  act(PublishBusy{.token = event.token});
  std::visit([&](const auto& request) { control(event.token, request); }, event.request);
}

void EngineMachine::control(RequestToken token, const Abort& request) {
  act(SendOk{.token = token});
  act(PublishIdle{.token = token});
  abort_queued(request);
}

void EngineMachine::abort_queued(const Abort& request) {
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
    answer_aborted(token, request.moved);
  }
  for (const auto& id : request.msg_ids) {
    if (!found.contains(id)) {
      abort_ids_.add(id, request.moved, options_.abort_ids_max);
    }
  }
}

void EngineMachine::control(RequestToken token, const ClearNamespace& /*request*/) {
  clears_.push_back(token);
  if (!running_) {
    start_next();
  }
}

void EngineMachine::control(RequestToken token, const Shutdown& request) {
  note(LogLevel::info, "shutting down, as a client asked");
  act(AnnounceShutdown{.token = token, .restart = request.restart});
  act(PublishIdle{.token = token});
  stop(0, request.restart);
}

void EngineMachine::control(RequestToken token, const Signal& request) {
  act(SendOk{.token = token});
  act(PublishIdle{.token = token});
  constexpr int interrupt_signal = 2;
  if (request.number == interrupt_signal) {
    if (running_) {
      act(Interrupt{});
    }
    return;
  }
  signals_.push_back({.due = now_ + options_.signal_delay, .number = request.number});
}

void EngineMachine::control(RequestToken token, const InterruptWork& /*request*/) {
  act(SendOk{.token = token});
  act(PublishIdle{.token = token});
  if (running_) {
    act(Interrupt{});
  }
}

void EngineMachine::control(RequestToken token, const Inquiry& /*request*/) {
  act(SendAnswer{.token = token});
  act(PublishIdle{.token = token});
}

void EngineMachine::control(RequestToken token, const ShellInquiry& /*request*/) {
  if (phase_ == Phase::serving) {
    act(AskBeside{.token = token});
    return;
  }
  act(SendFailure{
      .token = token, .ename = "EngineError", .evalue = "the engine's shell is not there yet"});
  act(PublishIdle{.token = token});
}

void EngineMachine::on_event(const BesideAnswered& event) {
  if (phase_ != Phase::stopping) {
    act(SendResult{.token = event.token});
    act(PublishIdle{.token = event.token});
  }
}

void EngineMachine::control(RequestToken token, const Refusal& request) {
  act(SendFailure{.token = token, .ename = request.ename, .evalue = request.evalue});
  act(PublishIdle{.token = token});
}

void EngineMachine::control(RequestToken token, const Unanswered& /*request*/) {
  act(PublishIdle{.token = token});
}

// ---- the end ------------------------------------------------------------------------------------

void EngineMachine::on_event(const TerminationRequested& event) {
  if (phase_ == Phase::stopping) {
    return;
  }
  note(LogLevel::info, "stopping: " + event.reason);
  if (id_) {
    act(SendUnregistration{.id = id_});
  }
  stop(0);
}

void EngineMachine::stop_unregistered(int status, const std::string& reason) {
  note(LogLevel::error, reason);
  act(SendUnregistration{.id = id_});
  stop(status);
}

void EngineMachine::stop(int status, bool restart) {
  phase_ = Phase::stopping;
  exit_status_ = status;
  registration_deadline_ = TimePoint::never();
  registration_note_ = TimePoint::never();
  ping_deadline_ = TimePoint::never();
  ask_again_ = TimePoint::never();
  stop_deadline_ = now_ + options_.stop_grace;
  queue_.clear();
  clears_.clear();
  signals_.clear();
  abort_ids_.clear();
  act(StopPython{.restart = restart});
  if (running_) {
    act(Interrupt{});
  }
}

void EngineMachine::on_event(const TimePassed& /*event*/) {
  if (now_ >= stop_deadline_) {
    phase_ = Phase::left;
    act(Leave{.status = exit_status_, .python_stopped = false});
    return;
  }
  raise_due_signals();
  check_cancels();
  if (phase_ == Phase::left) {
    return;
  }
  check_registration();
  ask_again_when_due();
  check_heart();
}

void EngineMachine::raise_due_signals() {
  std::erase_if(signals_, [this](const DelayedSignal& signal) {
    const bool due = now_ >= signal.due;
    if (due) {
      act(RaiseSignal{.number = signal.number});
    }
    return due;
  });
}

void EngineMachine::check_invariants() const {
  IPF_CHECK(!running_ || phase_ == Phase::serving || phase_ == Phase::stopping ||
            phase_ == Phase::left);
  IPF_CHECK(queue_.size() <= options_.queue_max);
  IPF_CHECK(abort_ids_.remembered() <= options_.abort_ids_max);
  if (phase_ == Phase::serving) {
    IPF_CHECK(id_ && shell_started_);
    // Work waits only behind work that runs.
    IPF_CHECK(running_ || (queue_.empty() && clears_.empty()));
  }
  if (phase_ == Phase::stopping || phase_ == Phase::left) {
    IPF_CHECK(queue_.empty() && clears_.empty() && signals_.empty());
  }
  IPF_CHECK((phase_ == Phase::stopping) == (stop_deadline_ != TimePoint::never()) ||
            phase_ == Phase::left);
  IPF_CHECK((phase_ == Phase::registering) == (registration_deadline_ != TimePoint::never()));
  for (std::size_t i = 1; i < queue_.size(); ++i) {
    IPF_CHECK(queue_[i - 1].token < queue_[i].token);
  }
  if (running_ && !queue_.empty()) {
    IPF_CHECK(*running_ != queue_.front().token);
  }
}

}  // namespace ipf::engine
