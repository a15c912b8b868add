#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "engine/engine_events.hpp"
#include "engine/work_queue.hpp"

namespace ipf::engine {

struct MachineOptions {
  Duration registration_timeout{std::chrono::seconds(60)};
  /// Pings that may be missed in a row before the controller is given up; 0: any number.
  int missed_pings_max{};
  /// Time without a ping after which the controller is given up; 0: never.
  Duration reconnect_timeout{std::chrono::minutes(10)};
  /// Time for running code to end after a shutdown; then the process ends without it.
  Duration stop_grace{std::chrono::milliseconds(700)};
  /// Time for a reply to leave before the signal that may end the process.
  Duration signal_delay{std::chrono::milliseconds(20)};
  WorkQueue::Options work{};
};

/// The life of one engine.
///
/// | phase       | meaning                                         | left by |
/// |-------------|-------------------------------------------------|--------------------------------------|
/// | created     | nothing happened yet                            | EngineStarted | | registering
/// | asked the hub for an id; Python is starting     | RegistrationAccepted, refused, late  | |
/// connected   | sockets connected, the shell is not there yet   | ShellStarted, ShellFailed | |
/// serving     | pings are answered, requests are executed       | shutdown, termination, lost
/// pings    | | stopping    | waits for Python to end, not longer than a grace| PythonStopped,
/// deadline              | | left        | Leave was ordered; every event is ignored       | |
///
/// What it works on and in which order is the WorkQueue's; it is open in `serving`. Pings are
/// answered only then, so that an engine the hub announces can work at once.
///
/// An engine that hears no ping goes on working, keeps its replies and waits; when the connection
/// or the pings come back it registers again, under its uuid and id. "Known" is a good answer, too.
///
/// Owned by the reactor's thread. Behaviour: protocol.md 4.1, 4.2, 4.8, 8.
class EngineMachine {
 public:
  explicit EngineMachine(MachineOptions options) : options_(options), work_(options.work) {}

  /// Appends what is to be done to `actions`.
  void step(TimePoint now, const Event& event, Actions& actions);
  [[nodiscard]] TimePoint next_deadline() const;
  /// Ends the process when a promise of the class comment is broken.
  void check_invariants() const;

  [[nodiscard]] std::size_t queued() const { return work_.queued(); }
  [[nodiscard]] bool busy() const { return work_.busy(); }
  /// Empty before the first registration.
  [[nodiscard]] std::optional<EngineId> id() const { return id_; }
  /// No controller answers at the moment.
  [[nodiscard]] bool misses_controller() const {
    return phase_ == Phase::registering || asking_ || lost_since_ != TimePoint::never();
  }
  [[nodiscard]] bool left() const { return phase_ == Phase::left; }

 private:
  enum class Phase { created, registering, connected, serving, stopping, left };
  struct DelayedSignal {
    TimePoint due{};
    int number{};
  };
  void on_event(const EngineStarted& event);
  void on_event(const KernelOpened& event);
  void on_event(const RegistrationAccepted& event);
  void on_event(const RegistrationRefused& event);
  void on_event(const ConnectionReplaced& event);
  void on_event(const ConnectionCameBack& event);
  void on_event(const ShellStarted& event);
  void on_event(const ShellFailed& event);
  void on_event(const PythonStopped& event);
  void on_event(const PingArrived& event);
  void on_event(const RequestArrived& event);
  void on_event(const RequestFinished& event);
  void on_event(const ControlArrived& event);
  void on_event(const BesideAnswered& event);
  void on_event(const TerminationRequested& event);
  void on_event(const EndOrdered& event);
  void on_event(const TimePassed& event);

  void control(RequestToken token, const Abort& request);
  void control(RequestToken token, const ClearNamespace& request);
  void control(RequestToken token, const Shutdown& request);
  void control(RequestToken token, const Signal& request);
  /// Its reply tells the outcome: "unknown" (not here; it will be aborted should it arrive),
  /// "dequeued", "interrupted" (it failed in time), "finished" (all the same), or "killed".
  void control(RequestToken token, const Cancel& request);
  void control(RequestToken token, const InterruptWork& request);
  void control(RequestToken token, const Inquiry& request);
  void control(RequestToken token, const ShellInquiry& request);
  void control(RequestToken token, const Refusal& request);
  void control(RequestToken token, const Unanswered& request);

  template <class OneAction>
  void act(OneAction action) {
    actions_->push_back(std::move(action));
  }
  void note(LogLevel level, std::string text) {
    act(Note{.level = level, .text = std::move(text)});
  }
  void stop(int status, bool restart = false);
  void end_after_cancel();
  void end_at_once(const std::string& evalue, int status);
  void stop_unregistered(int status, const std::string& reason);
  void join(EngineId id);
  void check_registration();
  void check_heart();
  void raise_due_signals();

  // engine_machine_reconnect.cpp
  [[nodiscard]] Duration silence_max() const;
  void register_again(bool new_sockets);
  void on_known_again(EngineId id);
  void begin_silence();
  bool lost_for_good();
  void ask_again_when_due();
  [[nodiscard]] bool holds_pings() const;

  MachineOptions options_;
  Phase phase_{Phase::created};
  std::optional<EngineId> id_{};
  bool shell_started_{};
  WorkQueue work_;
  std::vector<DelayedSignal> signals_{};

  TimePoint registration_since_{};
  TimePoint registration_deadline_{TimePoint::never()};
  TimePoint registration_note_{TimePoint::never()};
  Duration ping_interval_{};
  TimePoint ping_deadline_{TimePoint::never()};
  int missed_pings_{};
  bool first_ping_answered_{};
  TimePoint last_ping_{};
  TimePoint lost_since_{TimePoint::never()};  ///< the last ping before a silence
  bool asking_{};                             ///< a registration of a known engine is under way
  TimePoint asked_since_{};
  TimePoint ask_again_{TimePoint::never()};
  Duration ask_distance_{std::chrono::seconds(1)};
  TimePoint stop_deadline_{TimePoint::never()};
  int exit_status_{};

  TimePoint now_{};     ///< of the step that runs
  Actions* actions_{};  ///< of the step that runs
};

}  // namespace ipf::engine
