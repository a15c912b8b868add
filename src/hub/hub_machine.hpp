#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "hub/client_queries.hpp"
#include "hub/engine_table.hpp"
#include "hub/hub_events.hpp"
#include "hub/notification_repeater.hpp"
#include "hub/store.hpp"
#include "hub/task_ledger.hpp"
#include "hub/task_questions.hpp"

namespace ipf {

/// Bounds of what the hub keeps: `engines.pending_max`, `engines.active_max`, `engines.lost_max`;
/// `ledger.pending_max` (further tasks run, but queue_status and pending do not know them),
/// `ledger.completed_max`, `ledger.completed_per_engine_max`; `repeats.changes_max`;
/// `queries.questions_max`, `queries.records_max`. Records are bounded by the store.
struct HubOptions {
  Duration heartbeat_period{std::chrono::seconds{3}};
  Duration lost_engine_grace{std::chrono::milliseconds{100}};
  /// Between two SaveEngineState at least, once there are more engines than save_at_once_max: a
  /// thousand that register together cost a few files, not a thousand.
  Duration save_distance{std::chrono::milliseconds{100}};
  std::size_t save_at_once_max{64};
  /// The cluster has another key than before: a restored engine has to register again, which it
  /// signs. Its heart is no proof: heartbeats are not signed, so who has only the old key beats,
  /// too.
  bool new_key{false};
  EngineTable::Options engines{};
  TaskLedger::Options ledger{};
  NotificationRepeater::Options repeats{};
  ClientQueries::Options queries{};
};

/// What the hub knows, in numbers.
struct HubFigures {
  std::size_t engines{};      ///< active
  std::size_t registering{};  ///< asked, and have shown no heart yet
  std::size_t pending{};      ///< tasks without an answer
  std::size_t unassigned{};   ///< of these, without an engine
  std::size_t untracked{};    ///< tasks that the ledger had no room for, since the start
  std::size_t questions{};    ///< of clients, that wait for the store
};

/// The hub: who is here, what was asked, what came of it (protocol.md 4.1, 4.3, 4.4, 7.1).
///
/// | an engine is | from                    | until                                   |
/// |--------------|-------------------------|-----------------------------------------|
/// | pending      | registration_request    | its heart starts; timeout; good-bye     |
/// | active       | HeartStarted, restore() | good-bye, or HeartStopped               |
/// | lost         | the end of active       | it registers again: it keeps its number |
///
/// An engine that was lost only because its heart stopped is active again, under its number, when
/// the heart beats again (HeartReturned): it was frozen, or the network was cut, and it never knew.
///
/// Good-bye is an unregistration_request or, on iopub, a shutdown_reply of its own session.
///
/// A uuid in use is refused; but one that is pending or restored may have lost its reply and gets
/// its number again, on the connection that bears its uuid.
///
/// An engine is active at its first heart beat: there is no wait for a beat period. Its end is
/// told once; a second unregistration is nothing. Direct messages that it held are answered in the
/// records by an EngineError after `lost_engine_grace`, in which the real replies may still come;
/// clients make that error themselves and get no message.
///
/// Events and actions: hub_events.hpp. Bookkeeping lies in EngineTable and TaskLedger, queries are
/// answered by ClientQueries, repetitions for late subscribers are made by NotificationRepeater.
///
/// Invariants: those of the parts, and: the ledger has queues for the active engines and no others;
/// engines that wait for a heart after restore() are active.
///
/// One thread (the hub's). Pure: no clock, socket, log. RequestSeen, TaskAssigned and ReplySeen
/// cost a few hash look-ups each, parse nothing and copy no frame.
class HubMachine {
 public:
  /// `store` must outlive the machine.
  HubMachine(const HubOptions& options, Store& store);
  HubMachine(const HubMachine&) = delete;
  HubMachine& operator=(const HubMachine&) = delete;

  void step(TimePoint now, WallTime wall, HubEvent event, HubActions& actions);

  /// Takes the engines of an earlier controller, from the text of its last SaveEngineState. They
  /// are active at once and announced to the schedulers, not to clients, but suspected until their
  /// hearts beat; who shows no heart within the registration timeout is lost. Entries that cannot
  /// be taken are logged and skipped.
  Result<void> restore(TimePoint now, std::string_view json_text, HubActions& actions);

  /// When to step with TimePassed if nothing else happens.
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

  [[nodiscard]] HubFigures figures() const;
  [[nodiscard]] const EngineTable& engines() const { return engines_; }
  [[nodiscard]] const TaskLedger& ledger() const { return ledger_; }

 private:
  /// What every handler needs of one step.
  struct Turn {
    TimePoint now{};
    WallTime wall{};
    HubActions& actions;
  };
  enum class HeartState { known, forgotten };

  void on_event(Turn& turn, HubRequestReceived& event);
  void on_event(Turn& turn, HeartStarted& event);
  void on_event(Turn& turn, HeartStopped& event);
  void on_event(Turn& turn, HeartSuspected& event);
  void on_event(Turn& turn, HeartTrusted& event);
  void on_event(Turn& turn, HeartReturned& event);
  void on_event(Turn& turn, RequestSeen& event);
  void on_event(Turn& turn, TaskAssigned& event);
  void on_event(Turn& turn, ReplySeen& event);
  void on_event(Turn& turn, OutputSeen& event);
  void on_event(Turn& turn, StoreAnswered& event);
  void on_event(Turn& turn, TasksExplained& event);
  void on_event(Turn& /*turn*/, TimePassed& /*event*/) {}  // step() looks at the deadlines

  void on_request(Turn& turn, const Message& from, const RegistrationRequest& request);
  void on_request(Turn& turn, const Message& from, const UnregistrationRequest& request);
  void on_request(Turn& turn, const Message& from, const ConnectionRequest& request);
  void on_request(Turn& turn, const Message& from, const ShutdownRequest& request);
  void on_request(Turn& turn, const Message& from, const ExplainRequest& request);
  void on_request(Turn& turn, const Message& from, const StatusRequest& request);
  /// All others only read, or change nothing but the store and, to resubmit, the ledger.
  template <class Request>
  void on_request(Turn& turn, const Message& from, const Request& request) {
    queries_.answer(from, request, turn.now, turn.actions);
  }

  /// The number of an engine that asks again because its first reply was lost with a connection or
  /// with an earlier controller: its registration is on the way, or it was restored. Its socket
  /// bears its uuid, and a name belongs to one living connection.
  [[nodiscard]] std::optional<EngineId> told_before(const Message& from,
                                                    const std::string& uuid) const;
  void on_deadlines(Turn& turn);
  void finish_registration(Turn& turn, const EngineTable::Pending& engine);
  void drop_pending(Turn& turn, const EngineTable::Pending& engine, std::string_view why);
  void lose_missing(Turn& turn,
                    const std::unordered_set<std::string>& missing,
                    std::string_view why);
  void lose_engine(Turn& turn, EngineId id, HeartState heart, std::string_view why);
  void record_lost_task(Turn& turn, const TaskLedger::Stranded& task);
  void save_engines(Turn& turn, bool at_once);
  [[nodiscard]] std::string engine_state() const;
  [[nodiscard]] ResourceMap resources_of(const std::string& uuid) const;
  void restore_resources(const Json& by_uuid);

  const HubOptions options_;
  Store& store_;
  EngineTable engines_;
  TaskLedger ledger_;
  NotificationRepeater repeater_;
  ClientQueries queries_;
  TaskQuestions questions_;
  std::unordered_map<std::string, ResourceMap> resources_;  ///< by uuid; only who has some
  std::unordered_set<std::string> without_heart_;  ///< restored engines that have not beaten yet
  std::unordered_set<std::string> restored_;       ///< engines of an earlier controller
  std::unordered_set<std::string> unproven_;  ///< those that have to register again, see new_key
  TimePoint restore_deadline_{TimePoint::never()};
  TimePoint save_due_{TimePoint::never()};
  std::optional<TimePoint> last_save_{};
};

}  // namespace ipf
