#include "engine/engine_machine.hpp"

#include <algorithm>
#include <chrono>

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

}  // namespace

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
  TimePoint next = std::min({registration_deadline_, registration_note_, ping_deadline_, ask_again_,
                             stop_deadline_, work_.next_deadline()});
  for (const auto& signal : signals_) {
    next = std::min(next, signal.due);
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
    work_.open(*actions_);
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
    work_.open(*actions_);
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
  if (phase_ != Phase::stopping) {
    work_.add(event, *actions_);
  }
}

void EngineMachine::on_event(const RequestFinished& event) {
  work_.finish(event, *actions_);
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
  work_.abort(request, *actions_);
}

void EngineMachine::control(RequestToken token, const ClearNamespace& /*request*/) {
  work_.clear_namespace(token, *actions_);
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
    work_.interrupt(*actions_);
    return;
  }
  signals_.push_back({.due = now_ + options_.signal_delay, .number = request.number});
}

void EngineMachine::control(RequestToken token, const InterruptWork& /*request*/) {
  act(SendOk{.token = token});
  act(PublishIdle{.token = token});
  work_.interrupt(*actions_);
}

void EngineMachine::control(RequestToken token, const Cancel& request) {
  work_.cancel(token, request, now_, *actions_);
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
  work_.close();
  signals_.clear();
  act(StopPython{.restart = restart});
  work_.interrupt(*actions_);
}

void EngineMachine::on_event(const EndOrdered& event) {
  work_.settle_cancels("killed", *actions_);
  end_at_once(event.reason, 1);
}

void EngineMachine::end_after_cancel() {
  note(LogLevel::warning, "ending this engine: a cancelled task did not end after its interrupt");
  work_.settle_cancels("killed", *actions_);
  act(StopPython{.restart = true});
  end_at_once("the task was cancelled; it did not end after its interrupt, so its engine was ended",
              0);
}

/// The main thread is not waited for; the request that runs gets a last word.
void EngineMachine::end_at_once(const std::string& evalue, int status) {
  work_.end_at_once(evalue, *actions_);
  signals_.clear();
  registration_deadline_ = TimePoint::never();
  phase_ = Phase::left;
  act(Leave{.status = status, .python_stopped = false});
}

void EngineMachine::on_event(const TimePassed& /*event*/) {
  if (now_ >= stop_deadline_) {
    phase_ = Phase::left;
    act(Leave{.status = exit_status_, .python_stopped = false});
    return;
  }
  raise_due_signals();
  if (work_.has_late_cancel(now_)) {
    end_after_cancel();
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
  work_.check_invariants();
  IPF_CHECK(!work_.busy() || phase_ == Phase::serving || phase_ == Phase::stopping ||
            phase_ == Phase::left);
  IPF_CHECK(work_.is_open() == (phase_ == Phase::serving));
  if (phase_ == Phase::serving) {
    IPF_CHECK(id_ && shell_started_);
  }
  if (phase_ == Phase::stopping || phase_ == Phase::left) {
    IPF_CHECK(work_.queued() == 0 && signals_.empty());
  }
  IPF_CHECK((phase_ == Phase::stopping) == (stop_deadline_ != TimePoint::never()) ||
            phase_ == Phase::left);
  IPF_CHECK((phase_ == Phase::registering) == (registration_deadline_ != TimePoint::never()));
}

}  // namespace ipf::engine
