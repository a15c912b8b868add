#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/rng.hpp"
#include "scheduler/dependency_graph.hpp"
#include "scheduler/finished_tasks.hpp"
#include "scheduler/load_scheme.hpp"
#include "scheduler/task_events.hpp"
#include "scheduler/task_state.hpp"

namespace ipf {

struct TaskMachineOptions {
  SchemeName scheme{SchemeName::leastload};
  /// Most unfinished tasks on one engine; 0 means no limit.
  std::uint32_t hwm{1};
  /// How long a dead engine's last replies, already in the network, may still arrive.
  Duration lost_engine_grace{std::chrono::milliseconds(100)};
  /// Of all keys and choices. A machine that restores another one's outcomes needs the same one.
  std::uint64_t seed{1};
  /// Finished tasks whose outcome is remembered for tasks that depend on them, 24 bytes each.
  std::size_t finished_max{262'144};
  /// Engines that may die while they run a task before the task is given up; 0 means no limit.
  std::uint32_t poison_limit{3};
  /// From SIGINT to SIGKILL, and from there to giving up, for a task behind its run_timeout.
  Duration interrupt_grace{std::chrono::seconds(2)};
  /// A task that ended well just when it was interrupted keeps its slot for so long: the signal
  /// may still be under way and must not hit the next task.
  Duration interrupt_settle{std::chrono::milliseconds(200)};
  /// Different resource requirements among the unfinished tasks.
  std::size_t resource_shapes_max{1024};
};

/// Why a task is where it is.
struct TaskExplanation {
  std::string state{};   ///< blocked, waiting, running, orphaned, finished or unknown
  std::string reason{};  ///< a sentence for the user
};

/// A task that an engine has.
struct SentTask {
  std::string msg_id{};
  Message request;
};

/// Places load-balanced tasks on engines (protocol.md 5). Pure: no socket, clock or thread; one
/// thread calls step(). How it works, with examples: docs/internals/task-machine.md.
///
/// A task is
///   blocked    waits for tasks that it depends on (`after`, `follow`)
///   waiting    no engine it may use has room; it stands in the general queue, or, if it may run on
///              some engines only, in the queue of each of these; if it needs resources, in that
///              of all tasks that need the same
///   running    handed to one engine, which has one more load
///   orphaned   its engine left; a reply that is under way still counts until the grace ends
///   abandoned  answered because of its run_timeout, but its engine may still be busy with it
///   (gone)     answered: its outcome is remembered for a while, nothing else
///
/// A task may run on some engines only if it names targets, follows others, or has excluded engines
/// where it failed with retries left or found its functional dependencies unmet.
///
/// Order: higher priorities first; among equals the clients in turn; each client's tasks as they
/// were submitted. A task whose resources are not free holds up those behind it that need resources
/// of the same engine, so a large one is not starved by small ones, but no others.
///
/// Invariants (check_invariants): an engine's load is the number of its tasks and at most hwm; its
/// tasks need no more resources than it has; exactly the engines with room are in the index, and a
/// suspected engine has none; while an engine has room, nothing that it could start waits; a
/// blocked task waits for an unfinished one; each running or orphaned task names an engine.
///
/// Placement looks at the heads of a few queues and at the index, never at a whole queue or at all
/// engines. Only tasks that need resources look at all engines that have some.
class TaskMachine {
 public:
  explicit TaskMachine(const TaskMachineOptions& options);

  void step(TimePoint now, TaskEvent event, TaskActions& actions);
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;
  /// Looks at all engines: for people, not for programs in a loop.
  [[nodiscard]] TaskExplanation explain(TimePoint now, std::string_view msg_id) const;
  /// What the engine has been sent and has not answered, oldest first.
  [[nodiscard]] std::vector<SentTask> unanswered_at(std::string_view engine_uuid) const;

  /// Tasks without an answer.
  [[nodiscard]] std::size_t task_count() const { return tasks_.size() - abandoned_; }
  /// Those that wait for an engine, and those that were handed to one that is here.
  [[nodiscard]] std::size_t waiting_count() const { return waiting_; }
  [[nodiscard]] std::size_t running_count() const { return running_; }
  [[nodiscard]] std::size_t engine_count() const { return slots_.size(); }
  /// Outcomes that are remembered.
  [[nodiscard]] std::size_t finished_count() const { return finished_.size(); }
  /// They, oldest first, for OutcomesRestored.
  [[nodiscard]] std::vector<RememberedOutcome> remembered() const { return finished_.all(); }
  /// Tasks on this engine; 0 for an unknown one.
  [[nodiscard]] std::uint32_t load_of(std::string_view engine_uuid) const;

 private:
  using Task = ScheduledTask;
  using Engine = SchedulerEngine;
  /// The head of a queue.
  struct Candidate {
    Task* task{};
    WaitQueue* queue{};
  };
  struct RestrictedEntry {
    Task* task{};
    std::uint64_t stamp{};
    [[nodiscard]] bool valid() const { return task->wait_stamp == stamp; }
  };

  // requests: task_machine_requests.cpp; all other events: task_machine.cpp
  void on(TimePoint now, TaskSubmitted& event, TaskActions& actions);
  void on(TimePoint now, TasksRestored& event, TaskActions& actions);
  void on(TimePoint now, OutcomeRestored& event, TaskActions& actions);
  void on(TimePoint now, OutcomesRestored& event, TaskActions& actions);
  void on(TimePoint now, TaskReplied& event, TaskActions& actions);
  void on(TimePoint now, TaskStarted& event, TaskActions& actions);
  void on(TimePoint now, EngineJoined& event, TaskActions& actions);
  void on(TimePoint now, EngineLeft& event, TaskActions& actions);
  void on(TimePoint now, EngineSuspected& event, TaskActions& actions);
  void on(TimePoint now, EngineTrusted& event, TaskActions& actions);
  void on(TimePoint now, TaskUndeliverable& event, TaskActions& actions);
  void on(TimePoint now, TaskTimePassed& event, TaskActions& actions);
  /// The new task; nullptr if its msg_id is in use, which is settled then.
  Task* take_in(TaskSubmitted& event, TaskActions& actions);
  /// Fails the task, or blocks it; true if it is ready.
  bool is_ready(TimePoint now, Task& task, TaskOptions& options, TaskActions& actions);
  void restore(TimePoint now, TaskRestored& event, TaskActions& actions);
  void place_restored(
      TimePoint now, Task& task, std::string_view at, bool fits, TaskActions& actions);
  static void note_submission(Task& task, TaskActions& actions);
  /// Options, dependencies and resources; why the task is refused.
  std::optional<RemoteFailure> take_wishes(Task& task, TaskOptions& options);
  void take_options(Task& task, TaskOptions& options);
  /// Enters the dependencies in the graph; what is wrong with them.
  std::optional<RemoteFailure> take_dependencies(Task& task,
                                                 DependencyKind kind,
                                                 DependencySpec& spec);
  void reply_of_timed_out(TimePoint now, Task& task, bool succeeded, TaskActions& actions);
  static TaskLog dropped_reply(std::string_view engine_uuid);
  /// Of an engine that fell silent before it was seen to begin; `given_again`: it has the task once
  /// more.
  void reply_of_stale_copy(Task& task, bool given_again, TaskReplied& event, TaskActions& actions);
  void lose_tasks(TimePoint now, Engine& engine, bool silent, TaskActions& actions);
  void run_limit_passed(TimePoint now, Task& task, TaskActions& actions);
  Task* find_task(std::string_view msg_id) const;

  // placement: task_machine_placement.cpp
  /// An engine with room for the task, by the scheme.
  Engine* choose(const Task& task);
  Engine* choose_among(const Task& task, const std::vector<EngineKey>& keys);
  Engine* choose_not_excluded(const Task& task);
  Engine* choose_by_resources(const Task& task);
  Engine* choose_from(const std::vector<EngineLoad>& candidates);
  /// Whether the engine has room and, if the task needs resources, these are free and no other
  /// task has to be served first.
  bool can_start(Engine& engine, const Task& task);
  void place(TimePoint now, Task& task, Engine& engine, TaskActions& actions);
  /// Places the task, lets it wait, or fails it if no engine that it names is there.
  void place_or_wait(TimePoint now, Task& task, TaskActions& actions);
  void enqueue(TimePoint now, Task& task);
  void enqueue_at(Engine& engine, Task& task);
  void end_wait(Task& task);
  /// No engine that it may use is left, and waiting for one that joins makes no sense.
  [[nodiscard]] bool hopeless(const Task& task) const;
  [[nodiscard]] bool any_engine_for(const Task& task) const;
  void give_up(Task& task, TaskActions& actions);
  /// What the engine is to start next, if it has room; its resources are free.
  Candidate next_for(Engine& engine);
  Candidate next_with_resources(Engine& engine);
  [[nodiscard]] bool goes_first(const Task& a, const Task& b) const;
  /// Gives an engine the next tasks that it may run until it is full.
  void fill(TimePoint now, Engine& engine, TaskActions& actions);
  /// After each event: dependents of what ended are released or failed, and whatever can start now
  /// does. `freed` is the engine that may have got room, or nullptr.
  void settle(TimePoint now, Engine* freed, TaskActions& actions);
  void release_dependents(TimePoint now, TaskActions& actions);
  void start_released(TimePoint now, Engine* freed, TaskActions& actions);

  // endings: task_machine_endings.cpp
  /// Takes the task off its engine, whose load goes down; nullptr if the engine is gone.
  Engine* release(TimePoint now, Task& task);
  static void note_return(const Task& task, TaskActions& actions);
  void begin_run(TimePoint now, Task& task);
  void try_elsewhere(TimePoint now, Task& task, TaskReplied& event, TaskActions& actions);
  void lose(TimePoint now, Task& task, TaskActions& actions);
  void deliver(
      Task& task, std::string engine_uuid, Message reply, bool succeeded, TaskActions& actions);
  void fail(Task& task, RemoteFailure failure, TaskActions& actions, std::string engine_uuid = {});
  /// The client has its answer; the engine stays occupied until its reply or that time.
  void abandon(Task& task, TimePoint until);
  void answer_failure(Task& task,
                      RemoteFailure failure,
                      std::string engine_uuid,
                      TaskActions& actions);
  void conclude(Task& task, TaskOutcome outcome);
  Task& new_task();
  /// Nothing is kept of the task.
  void forget(Task& task);
  void set_deadline(Task& task, TimePoint deadline);
  [[nodiscard]] bool has_room(const Engine& engine) const {
    return engine.alive && !engine.suspected &&
           (options_.hwm == 0 || engine.load.load < options_.hwm);
  }
  /// Changes load and stamp and keeps the index in step.
  void change_load(Engine& engine, std::uint32_t load, std::uint64_t stamp);
  void set_suspected(Engine& engine, bool suspected);
  Engine* find_engine(EngineKey key);
  [[nodiscard]] EngineKey engine_key(std::string_view uuid) const;
  void check_engine(const Engine& engine) const;
  void check_task(const Task& task) const;
  [[nodiscard]] bool waits_rightly(const Engine& engine, const Task& task) const;

  // explanations: task_machine_explain.cpp
  [[nodiscard]] TaskExplanation explain_wait(const Task& task) const;
  [[nodiscard]] TaskExplanation explain_run(TimePoint now, const Task& task) const;
  [[nodiscard]] std::string explain_blocked(const Task& task) const;

  TaskMachineOptions options_;
  std::uint64_t key_seed_;
  Rng rng_;
  std::unique_ptr<LoadScheme> index_;
  DependencyGraph graph_;
  FinishedTasks finished_;
  std::deque<Task> pool_;
  std::vector<Task*> free_tasks_;
  std::unordered_map<TaskKey, Task*> tasks_;
  std::size_t abandoned_{};
  std::size_t waiting_{};
  std::size_t running_{};  ///< the sum of the engines' loads
  std::size_t waiting_for_resources_{};

  WaitQueue general_queue_;
  /// Every restricted task that waits, for engines that join later; swept when it has doubled.
  std::vector<RestrictedEntry> restricted_;
  std::size_t sweep_restricted_at_{64};
  std::map<ResourceMap, ResourceShape> shapes_;
  bool shaped_changed_{false};  ///< a waiting task that needs resources was placed or ended
  std::vector<DependencyNode::Edge> affected_;  ///< whose dependencies ended in this step
  std::vector<Task*> released_;                 ///< that began to wait because of that
  /// Within one TasksRestored: to be handed to the engines that had them, in the order of old.
  struct OldPlace {
    std::uint64_t handed_over{};
    Task* task{};
    std::string engine_uuid{};
  };
  std::vector<OldPlace> old_places_;
  /// When a client was served last, for comparing the heads of two queues.
  std::unordered_map<std::uint64_t, std::uint64_t> served_;

  std::deque<Engine> engines_;
  std::vector<EngineSlot> free_slots_;
  std::unordered_map<EngineKey, EngineSlot> slots_;
  std::vector<EngineSlot> with_resources_;
  std::set<std::tuple<TimePoint, std::uint64_t, Task*>> deadlines_;
  std::uint64_t next_ticket_{1};
  std::uint64_t next_wait_stamp_{1};
  std::uint64_t next_served_{1};
  // Assignments count up from the middle; an engine that joins goes before all others.
  std::uint64_t next_stamp_{std::uint64_t{1} << 63U};
  std::uint64_t joining_stamp_{(std::uint64_t{1} << 63U) - 1};
};

}  // namespace ipf
