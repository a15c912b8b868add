#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
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
#include "scheduler/load_scheme.hpp"
#include "scheduler/task_events.hpp"

namespace ipf {

struct TaskMachineOptions {
  SchemeName scheme{SchemeName::leastload};
  /// Most unfinished tasks on one engine; 0 means no limit.
  std::uint32_t hwm{1};
  /// How long a dead engine's last replies, already in the network, may still arrive.
  Duration lost_engine_grace{std::chrono::milliseconds(100)};
  std::uint64_t seed{1};
};

/// Places load-balanced tasks on engines (protocol.md 5). Pure: no socket, clock or thread; one
/// thread calls step().
///
/// A task is
///   waiting   no engine it may use has room; it stands in the general queue, or, if it may run on
///             some engines only, in the queue of each of these
///   running   handed to one engine, which has one more load
///   orphaned  its engine left; a reply that is under way still counts until the grace ends
///   (gone)    answered: nothing is kept of it
///
/// A task may run on some engines only if it names targets, or has excluded engines where it failed
/// with retries left or found its functional dependencies unmet.
///
/// Invariants (check_invariants): an engine's load is the number of its tasks and at most hwm;
/// exactly the engines with room are in the index; while an engine has room, nothing that it may
/// run waits; each running or orphaned task names an engine.
///
/// Placement looks at the heads of two queues and at the index, never at a whole queue or at all
/// engines. Queue entries are dropped lazily: a task that was answered or placed leaves entries
/// behind whose ticket no longer fits; a queue is swept when it has doubled since the last sweep.
class TaskMachine {
 public:
  explicit TaskMachine(const TaskMachineOptions& options);

  void step(TimePoint now, TaskEvent event, TaskActions& actions);
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

  [[nodiscard]] std::size_t task_count() const { return tasks_.size(); }
  [[nodiscard]] std::size_t engine_count() const { return slots_.size(); }
  /// Unfinished tasks on this engine; 0 for an unknown one.
  [[nodiscard]] std::uint32_t load_of(const std::string& engine_uuid) const;

 private:
  enum class State { gone, waiting, running, orphaned };
  struct Task {
    std::string msg_id{};
    std::optional<Message> request{};
    std::uint64_t ticket{};  ///< order of submission, unique
    State state{State::gone};
    EngineSlot engine{};         ///< while running
    std::size_t engine_place{};  ///< in Engine::tasks, while running
    std::string engine_uuid{};   ///< while running or orphaned
    int retries_left{};
    bool has_targets{false};
    bool noted{false};  ///< the hub has seen the request
    std::vector<std::string> targets{};
    std::vector<std::string> excluded{};
    Duration timeout{};
    TimePoint deadline{TimePoint::never()};
    /// The last failure, delivered if no engine is left to try the task again.
    std::optional<Message> last_reply{};

    [[nodiscard]] bool restricted() const { return has_targets || !excluded.empty(); }
    [[nodiscard]] bool may_use(const std::string& uuid) const;
  };
  /// Valid while the task waits and still has this ticket; tasks are pooled and never freed.
  struct Entry {
    Task* task{};
    std::uint64_t ticket{};
    [[nodiscard]] bool valid() const {
      return task->ticket == ticket && task->state == State::waiting;
    }
  };
  class Queue {
   public:
    void push(Entry entry);
    /// The oldest valid entry's task, or nullptr.
    Task* front();
    void pop() { entries_.pop_front(); }
    [[nodiscard]] const std::deque<Entry>& entries() const { return entries_; }
    void clear() { entries_.clear(); }

   private:
    std::deque<Entry> entries_;
    std::size_t sweep_at_{64};
  };
  struct Engine {
    std::string uuid{};
    bool alive{false};
    EngineLoad load{};
    Queue own_queue{};  ///< restricted tasks that may run here
    std::vector<Task*> tasks{};
  };

  void on(TimePoint now, TaskSubmitted& event, TaskActions& actions);
  void on(TimePoint now, TaskReplied& event, TaskActions& actions);
  void on(TimePoint now, EngineJoined& event, TaskActions& actions);
  void on(TimePoint now, EngineLeft& event, TaskActions& actions);
  void on(TimePoint now, TaskUndeliverable& event, TaskActions& actions);
  void on(TimePoint now, TaskTimePassed& event, TaskActions& actions);

  /// An engine with room for the task, by the scheme.
  Engine* choose(const Task& task);
  Engine* choose_restricted(const Task& task);
  void place(Task& task, Engine& engine, TaskActions& actions);
  /// Places the task, lets it wait, or fails it if no engine that it names is there.
  void place_or_wait(TimePoint now, Task& task, TaskActions& actions);
  void enqueue(TimePoint now, Task& task);
  /// No engine that it may use is left, and waiting for one that joins makes no sense.
  [[nodiscard]] bool hopeless(const Task& task) const;
  void give_up(Task& task, TaskActions& actions);
  /// Gives an engine the oldest tasks that it may run until it is full.
  void fill(Engine& engine, TaskActions& actions);

  /// Takes the task off its engine, whose load goes down.
  Engine* release(Task& task);
  void try_elsewhere(TimePoint now, Task& task, TaskReplied& event, TaskActions& actions);
  void lose(TimePoint now, Task& task, TaskActions& actions);
  void deliver(Task& task, Message reply, TaskActions& actions);
  void fail(Task& task, RemoteFailure failure, TaskActions& actions);

  Task& new_task();
  void finish(Task& task);
  void set_deadline(Task& task, TimePoint deadline);
  [[nodiscard]] bool has_room(const Engine& engine) const {
    return engine.alive && (options_.hwm == 0 || engine.load.load < options_.hwm);
  }
  /// Changes load and stamp and keeps the index in step.
  void change_load(Engine& engine, std::uint32_t load, std::uint64_t stamp);
  [[nodiscard]] bool any_engine_for(const Task& task) const;
  Engine* find_engine(const std::string& uuid);

  TaskMachineOptions options_;
  Rng rng_;
  std::unique_ptr<LoadScheme> index_;
  std::deque<Task> pool_;
  std::vector<Task*> free_tasks_;
  std::unordered_map<std::string_view, Task*> tasks_;  ///< keys view Task::msg_id
  Queue general_queue_;
  Queue restricted_;  ///< every restricted task that waits, for engines that join later
  std::deque<Engine> engines_;
  std::vector<EngineSlot> free_slots_;
  std::unordered_map<std::string, EngineSlot> slots_;
  std::set<std::tuple<TimePoint, std::uint64_t, Task*>> deadlines_;
  std::uint64_t next_ticket_{1};
  // Assignments count up from the middle; an engine that joins goes before all others.
  std::uint64_t next_stamp_{std::uint64_t{1} << 63U};
  std::uint64_t joining_stamp_{(std::uint64_t{1} << 63U) - 1};
};

}  // namespace ipf
