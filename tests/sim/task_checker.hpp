#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.hpp"
#include "scheduler/task_machine.hpp"
#include "sim/names.hpp"
#include "sim/sim_options.hpp"
#include "sim/workload.hpp"

namespace ipf::sim {

/// Watches what the task machine is told and what it orders, and throws SimFailure at the first
/// order that breaks the contract of the scheduler. Knows nothing of how the machine works: it
/// keeps the truth in plain tables, looks everything up anew and asks of each
///   SendTask      the task is submitted, not ended and nowhere else; the engine is here, trusted
///                 and has room; targets, exclusions and dependencies allow it; with leastload no
///                 allowed engine with room is emptier; no ordinary task of higher priority waits,
///                 and no other client's that has waited for longer than a whole turn; a restored
///                 one goes where it was
///   ForwardReply  it is this task's own reply, of the engine that was busy with it, and final
///   FailTask      the named reason is true
/// and after each event: what had to be answered was, and the machine counts as the checker does.
class TaskChecker {
 public:
  /// How a task ended, as the scheduler said.
  struct Ending {
    std::uint32_t submissions{};
    std::uint32_t answers{};
    bool ended{false};
    bool lost{false};            ///< by a restart of the controller
    std::uint32_t engine{none};  ///< `none`: the scheduler's own failure
  };

  TaskChecker(const SimOptions& options, const TaskMachineOptions& scheduler, const TaskBook& book)
      : options_(options), scheduler_(scheduler), book_(book) {}

  void begin(TimePoint now, const TaskEvent& event);
  void see(const TaskAction& action);
  void end(const TaskMachine& machine);
  /// A new scheduler. With a journal it must know all that was open or answered, but for
  /// `unwritten`: tasks of whom some records were not written. Without one, all that was not
  /// answered is lost.
  void restart(bool journal, const std::unordered_set<std::uint32_t>& unwritten);
  /// Of a task that was answered.
  [[nodiscard]] bool ended_well(std::uint32_t task) const { return views_[task].succeeded; }

  [[nodiscard]] Ending ending(std::uint32_t task) const;
  [[nodiscard]] std::size_t open_count() const { return open_; }
  [[nodiscard]] std::size_t joined_count() const { return joined_; }
  /// Unfinished tasks as text, for the report of a run that does not end.
  [[nodiscard]] std::string open_text() const;

 private:
  enum class Phase : std::uint8_t { unseen, waiting, running, orphaned, ended, lost };
  struct View {
    Phase phase{Phase::unseen};
    bool succeeded{false};
    bool noted{false};
    bool started{false};
    bool died{false};    ///< its last engine left with it
    bool blamed{false};  ///< it was what the engine ran
    bool out_of_retries{false};
    bool invalid{false};      ///< it names a dependency that nobody knows
    bool in_plain{false};     ///< counted in plain_waiting_
    bool sent_before{false};  ///< by an earlier controller: its engine may have begun
    bool ghost{false};        ///< answered while its engine stays busy with it
    std::uint8_t signals{};   ///< 1: SIGINT was ordered, 2: and SIGKILL
    std::uint8_t charges{};   ///< retries used
    std::uint8_t deaths{};    ///< engines that died while they ran it
    std::uint32_t era{};
    std::uint32_t engine{none};
    std::uint32_t end_engine{none};
    std::uint32_t submissions{};
    std::uint32_t answers{};
    TimePoint since{};  ///< submitted or, later, of its last engine's end
    TimePoint sent{};
    TimePoint ghost_until{TimePoint::never()};
  };
  /// Of the few tasks that failed, moved or were frozen with their engine.
  struct Extra {
    std::vector<std::uint32_t> excluded{};
    std::vector<std::uint32_t> stale{};
    std::uint32_t last_failure{none};
  };
  struct EngineView {
    bool joined{false};
    bool suspected{false};
    bool killed{false};  ///< the scheduler ordered SIGKILL
    ResourceMap capacity{};
    std::vector<std::uint32_t> tasks{};  ///< in the order of hand-over, ghosts too

    [[nodiscard]] std::uint32_t load() const { return static_cast<std::uint32_t>(tasks.size()); }
  };
  enum class Standing { ready, waits, impossible };
  /// Of one client, in one priority; numbers count the tasks that were sent after a wait.
  struct Turn {
    std::uint32_t waiting{};
    std::uint64_t waits_since{};
    std::uint64_t served{};  ///< the last time, with any task
    std::uint64_t turn{};    ///< and with one that may run anywhere
  };

  void on(TimePoint now, const TaskSubmitted& event);
  void on(TimePoint now, const TasksRestored& event);
  void on(TimePoint now, const OutcomeRestored& event);
  void on(TimePoint now, const OutcomesRestored& event);
  /// `fits`: no engine can have more than its limit; it has what it got last.
  void restore(TimePoint now, const TaskRestored& event, bool fits);
  void check_old_place(std::uint32_t task, const std::string& journaled) const;
  void take_progress(std::uint32_t task, const TaskProgress& progress);
  void on(TimePoint now, const TaskReplied& event);
  void on(TimePoint now, const TaskStarted& event);
  void on(TimePoint now, const EngineJoined& event);
  void on(TimePoint now, const EngineLeft& event);
  void on(TimePoint now, const EngineSuspected& event);
  void on(TimePoint now, const EngineTrusted& event);
  void on(TimePoint now, const TaskUndeliverable& event);
  void on(TimePoint now, const TaskTimePassed& event);

  void on(const SendTask& action);
  void on(const ForwardReply& action);
  void on(const FailTask& action);
  void on(const NoteSubmission& action);
  void on(const NoteReturn& action);
  void on(const InterruptTask& action);
  void on(const AbortAtEngine& action);
  void on(const AnswerAgain& action);
  void on(const TaskLog& /*action*/) {}

  void check_place(std::uint32_t task, std::uint32_t engine);
  void check_resources(std::uint32_t task, const EngineView& view) const;
  void check_least_loaded(std::uint32_t task, std::uint32_t engine) const;
  void check_priority(std::uint32_t task) const;
  void check_turn(std::uint32_t task);
  void check_reason(std::uint32_t task, const FailTask& action) const;
  void lose(std::uint32_t task);

  [[nodiscard]] Standing standing(std::uint32_t task) const;
  [[nodiscard]] bool hit(const SimDependency& dependency, std::uint32_t on) const;
  [[nodiscard]] bool over(std::uint32_t task) const;
  [[nodiscard]] bool unreachable(const SimDependency& dependency) const;
  [[nodiscard]] bool met(const SimDependency& dependency) const;
  [[nodiscard]] std::vector<std::uint32_t> follow_engines(const SimDependency& dependency) const;
  [[nodiscard]] bool names_unknown(std::uint32_t task, const SimDependency& dependency) const;
  [[nodiscard]] bool may_use(std::uint32_t task, std::uint32_t engine) const;
  [[nodiscard]] bool any_engine_for(std::uint32_t task) const;
  [[nodiscard]] const Extra* extra(std::uint32_t task) const;

  [[noreturn]] void fail(std::uint32_t task, const std::string& why) const;
  void answer(std::uint32_t task, bool succeeded, std::uint32_t engine);
  void leave_engine(std::uint32_t task);
  void end_ghost(std::uint32_t task);
  void set_plain(std::uint32_t task, bool waiting);
  [[nodiscard]] bool limited() const {
    return options_.hwm != 0 && options_.scheme != SchemeName::pure;
  }
  [[nodiscard]] bool has_room(const EngineView& engine) const {
    return engine.joined && !engine.suspected && (!limited() || engine.load() < options_.hwm);
  }
  /// Changes an engine and keeps rooms_ in step.
  template <class Change>
  void change(std::uint32_t engine, Change how);
  View& view(std::uint32_t task);
  EngineView& engine_view(std::uint32_t engine);

  const SimOptions& options_;
  const TaskMachineOptions& scheduler_;
  const TaskBook& book_;
  std::vector<View> views_;
  std::vector<EngineView> engines_;
  std::unordered_map<std::uint32_t, Extra> extras_;
  std::map<std::uint32_t, std::uint32_t> rooms_;  ///< load -> engines with room
  std::map<int, std::uint32_t> plain_waiting_;    ///< priority -> tasks that may run anywhere
  std::vector<std::uint32_t> touched_;            ///< engines of this step
  std::vector<std::uint32_t> must_answer_;        ///< tasks of this step
  std::size_t open_{};
  std::size_t joined_{};
  std::uint32_t era_{1};
  std::uint32_t reply_from_{none};  ///< whose reply this step brought
  bool reply_succeeded_{false};
  std::uint32_t replied_{none};     ///< and to which task
  std::uint32_t send_again_{none};  ///< its engine left out an older copy of it
  std::uint32_t submitted_{none};
  std::uint32_t twice_{none};  ///< sent again while an engine is busy with its first ghost
  std::map<int, std::map<std::uint32_t, Turn>> turns_{};  ///< by priority and client
  std::uint64_t served_{};
  bool restoring_{false};
  std::unordered_set<std::uint32_t> unwritten_{};
  std::vector<std::uint32_t> must_come_back_{};
  std::unordered_map<std::uint32_t, std::uint32_t> old_places_{};  ///< of this step: task, engine
  std::vector<std::uint32_t> orphans_{};
  std::vector<std::uint32_t> ghosts_{};
  TimePoint now_{};
};

}  // namespace ipf::sim
