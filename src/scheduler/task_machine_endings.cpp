// TaskMachine: how a task leaves its engine and the machine.
#include <utility>

#include "core/check.hpp"
#include "scheduler/task_machine.hpp"

namespace ipf {

namespace {

RemoteFailure engine_error(const std::string& engine_uuid, const std::string& msg_id) {
  return {.ename = "EngineError",
          .evalue = "Engine '" + engine_uuid + "' died while running task '" + msg_id + "'"};
}

RemoteFailure poison_error(const ScheduledTask& task) {
  std::string engines;
  for (const auto& uuid : task.killed) {
    engines += (engines.empty() ? "'" : ", '") + uuid + "'";
  }
  return {.ename = "PoisonTask",
          .evalue = std::to_string(task.killed.size()) + " engines died while they ran task '" +
                    task.msg_id + "', it is not tried again: " + engines};
}

}  // namespace

TaskMachine::Engine* TaskMachine::release(TimePoint now, Task& task) {
  set_deadline(task, TimePoint::never());
  if (task.state == TaskState::orphaned) {
    return nullptr;
  }
  Engine& engine = engines_[task.engine];
  const bool was_first = engine.oldest == &task;
  (task.older == nullptr ? engine.oldest : task.older->newer) = task.newer;
  (task.newer == nullptr ? engine.newest : task.newer->older) = task.older;
  task.older = nullptr;
  task.newer = nullptr;
  task.phase = RunPhase::untimed;
  if (task.shape != nullptr) {
    for (const auto& [name, amount] : *task.shape->need) {
      engine.used[name] -= amount;
    }
  }
  change_load(engine, engine.load.load - 1, engine.load.stamp);
  if (engine.load.load == 0) {
    engine.used.clear();  // rounding errors of fractions end here
  }
  // One that was seen to start (outputs overtake replies) has its clock, or its signal, already.
  if (was_first && engine.oldest != nullptr && !engine.oldest->started) {
    begin_run(now, *engine.oldest);
  }
  return &engine;
}

/// The clock of a run limit starts when the task is the oldest on its engine, which runs its tasks
/// in order; and again when the engine is seen to begin with it.
void TaskMachine::begin_run(TimePoint now, Task& task) {
  if (task.state != TaskState::running) {
    return;
  }
  task.since = now;
  if (task.run_timeout.count() > 0) {
    task.phase = RunPhase::timed;
    set_deadline(task, now + task.run_timeout);
  }
}

void TaskMachine::try_elsewhere(TimePoint now,
                                Task& task,
                                TaskReplied& event,
                                TaskActions& actions) {
  if (event.dependencies_met) {
    --task.retries_left;
    task.last_reply = std::move(event.reply);
  }
  task.excluded.push_back(task.engine_key);
  note_return(task, actions);
  place_or_wait(now, task, actions);
}

TaskLog TaskMachine::dropped_reply(std::string_view engine_uuid) {
  return {LogLevel::info, "task::dropped a reply of engine '" + printable(engine_uuid) +
                              "' for a task that it does not run"};
}

void TaskMachine::reply_of_stale_copy(Task& task,
                                      bool given_again,
                                      TaskReplied& event,
                                      TaskActions& actions) {
  if (!event.aborted) {
    if (task.state == TaskState::waiting && event.dependencies_met &&
        (event.succeeded || task.retries_left == 0)) {
      // It had begun with it behind a network that failed, and nobody else has.
      return deliver(task, std::move(event.engine_uuid), std::move(event.reply), event.succeeded,
                     actions);
    }
    actions.emplace_back(TaskLog{
        LogLevel::warning, "task::dropped a reply of engine '" + printable(event.engine_uuid) +
                               "': it was silent when it ran task '" + task.msg_id +
                               "', which another engine has been given"});
    return;
  }
  task.remembered = task.remembered || !event.forgotten;
  actions.emplace_back(dropped_reply(event.engine_uuid));
  if (given_again && task.state == TaskState::running) {
    // It has left out the copy that it had before, and took the second one, if that came while the
    // first one was queued, for a replay of it. One that runs already makes this a replay, but not
    // for an engine that forgets nothing: there the second one was a replay for sure.
    actions.emplace_back(SendTask{.msg_id = task.msg_id,
                                  .engine_uuid = engines_[task.engine].uuid,
                                  .request = *task.request,
                                  .first_sight = false,
                                  .signed_anew = !event.forgotten});
  }
}

void TaskMachine::note_return(const Task& task, TaskActions& actions) {
  actions.emplace_back(NoteReturn{.msg_id = task.msg_id,
                                  .progress = {.retries_left = task.retries_left,
                                               .excluded = task.excluded,
                                               .stale = task.stale,
                                               .killed = task.killed}});
}

void TaskMachine::lose(TimePoint now, Task& task, TaskActions& actions) {
  if (task.blamed) {
    task.killed.push_back(task.lost_engine);
    if (options_.poison_limit > 0 && task.killed.size() >= options_.poison_limit) {
      auto failure = poison_error(task);
      actions.emplace_back(TaskLog{LogLevel::error, "task::" + failure.evalue});
      return fail(task, std::move(failure), actions, task.lost_engine);
    }
  }
  if (task.retries_left > 0) {
    --task.retries_left;
    task.excluded.push_back(task.engine_key);
    note_return(task, actions);
    place_or_wait(now, task, actions);
    return;
  }
  fail(task, engine_error(task.lost_engine, task.msg_id), actions, task.lost_engine);
}

void TaskMachine::deliver(
    Task& task, std::string engine_uuid, Message reply, bool succeeded, TaskActions& actions) {
  const EngineKey engine = engine_key(engine_uuid);
  actions.emplace_back(ForwardReply{.msg_id = task.msg_id,
                                    .engine_uuid = std::move(engine_uuid),
                                    .request = std::move(*task.request),
                                    .reply = std::move(reply)});
  conclude(task, {.succeeded = succeeded, .engine = engine});
  forget(task);
}

void TaskMachine::fail(Task& task,
                       RemoteFailure failure,
                       TaskActions& actions,
                       std::string engine_uuid) {
  answer_failure(task, std::move(failure), std::move(engine_uuid), actions);
  forget(task);
}

void TaskMachine::answer_failure(Task& task,
                                 RemoteFailure failure,
                                 std::string engine_uuid,
                                 TaskActions& actions) {
  if (!task.noted) {  // failed at once: without this the hub would have no record of it
    actions.emplace_back(NoteSubmission{.msg_id = task.msg_id, .request = *task.request});
  }
  actions.emplace_back(FailTask{.msg_id = task.msg_id,
                                .engine_uuid = std::move(engine_uuid),
                                .request = std::move(*task.request),
                                .failure = std::move(failure)});
  conclude(task, {});
}

void TaskMachine::abandon(Task& task, TimePoint until) {
  task.state = TaskState::abandoned;
  ++abandoned_;
  set_deadline(task, until);
}

void TaskMachine::conclude(Task& task, TaskOutcome outcome) {
  task.request.reset();
  finished_.add(task.key, outcome);
  graph_.finish(task, outcome, affected_);
}

TaskMachine::Task& TaskMachine::new_task() {
  if (free_tasks_.empty()) {
    return pool_.emplace_back();
  }
  Task& task = *free_tasks_.back();
  free_tasks_.pop_back();
  return task;
}

void TaskMachine::forget(Task& task) {
  set_deadline(task, TimePoint::never());
  if (task.state == TaskState::waiting) {
    end_wait(task);
  } else if (task.state == TaskState::abandoned) {
    --abandoned_;
  }
  if (task.shape != nullptr && --task.shape->tasks == 0) {
    shapes_.erase(shapes_.find(*task.shape->need));
  }
  tasks_.erase(task.key);
  task = Task{};
  free_tasks_.push_back(&task);
}

void TaskMachine::set_deadline(Task& task, TimePoint deadline) {
  if (task.deadline != TimePoint::never()) {
    deadlines_.erase({task.deadline, task.ticket, &task});
  }
  task.deadline = deadline;
  if (deadline != TimePoint::never()) {
    deadlines_.insert({deadline, task.ticket, &task});
  }
}

void TaskMachine::change_load(Engine& engine, std::uint32_t load, std::uint64_t stamp) {
  if (has_room(engine)) {
    index_->remove(engine.load);
  }
  running_ = running_ - engine.load.load + load;
  engine.load.load = load;
  engine.load.stamp = stamp;
  if (has_room(engine)) {
    index_->add(engine.load);
  }
}

void TaskMachine::set_suspected(Engine& engine, bool suspected) {
  if (has_room(engine)) {
    index_->remove(engine.load);
  }
  engine.suspected = suspected;
  if (has_room(engine)) {
    index_->add(engine.load);
  }
}

// ---- invariants ---------------------------------------------------------------------------------

void TaskMachine::check_engine(const Engine& engine) const {
  std::uint32_t load = 0;
  ResourceMap used;
  const Task* before = nullptr;
  for (const Task* task = engine.oldest; task != nullptr; task = task->newer) {
    IPF_CHECK(task->on_engine() && &engines_[task->engine] == &engine && task->older == before);
    IPF_CHECK(task->engine_key == engine.key && task->may_use(engine.key));
    IPF_CHECK(before == nullptr || task->phase == RunPhase::untimed || task->started ||
              task->state == TaskState::abandoned);
    if (task->shape != nullptr) {
      for (const auto& [name, amount] : *task->shape->need) {
        used[name] += amount;
      }
    }
    ++load;
    before = task;
  }
  IPF_CHECK(engine.newest == before && engine.load.load == load);
  IPF_CHECK(options_.hwm == 0 || load <= options_.hwm);
  for (const auto& [name, amount] : used) {
    IPF_CHECK(engine.capacity.contains(name));
    IPF_CHECK(amount <= engine.capacity.at(name) * (1 + 1e-6));
  }
}

void TaskMachine::check_task(const Task& task) const {
  IPF_CHECK(task.state != TaskState::gone);
  IPF_CHECK((task.state == TaskState::abandoned) != task.request.has_value());
  IPF_CHECK((task.state == TaskState::waiting) == (task.wait_stamp != 0));
  IPF_CHECK((task.state == TaskState::orphaned) == !task.lost_engine.empty());
  IPF_CHECK((task.engine_key != 0) == (task.on_engine() || task.state == TaskState::orphaned));
  if (task.state == TaskState::blocked) {
    bool waits = false;
    for (const auto& edge : task.waits_for) {
      waits = waits || edge.valid();
    }
    IPF_CHECK(waits && DependencyGraph::standing(task) == DependencyGraph::Standing::waits);
  }
  if (task.state != TaskState::waiting) {
    return;
  }
  IPF_CHECK(DependencyGraph::standing(task) == DependencyGraph::Standing::ready);
  for (const auto& [key, slot] : slots_) {
    const Engine& engine = engines_[slot];
    const bool could_start = has_room(engine) && task.may_use(key);
    IPF_CHECK(!could_start || (task.shape != nullptr && waits_rightly(engine, task)));
  }
}

/// The task needs resources of an engine with room: these are not free, or are kept for another.
bool TaskMachine::waits_rightly(const Engine& engine, const Task& task) const {
  if (!engine.could_hold(*task.shape->need) || !engine.can_hold_now(*task.shape->need)) {
    return true;
  }
  for (const auto& [key, other] : tasks_) {
    if (other != &task && other->state == TaskState::waiting && other->shape != nullptr &&
        other->may_use(engine.key) && engine.could_hold(*other->shape->need) &&
        !engine.can_hold_now(*other->shape->need)) {
      return true;
    }
  }
  return false;
}

void TaskMachine::check_invariants() const {
  std::size_t with_room = 0;
  std::size_t running = 0;
  for (const auto& [key, slot] : slots_) {
    const Engine& engine = engines_[slot];
    IPF_CHECK(engine.alive && engine.key == key && engine.load.slot == slot);
    IPF_CHECK(engine_key(engine.uuid) == key);
    check_engine(engine);
    with_room += has_room(engine) ? 1U : 0U;
    running += engine.load.load;
  }
  IPF_CHECK(index_->size() == with_room && running == running_);
  std::size_t waiting = 0;
  std::size_t abandoned = 0;
  for (const auto& [key, task] : tasks_) {
    IPF_CHECK(task->key == key && key_of(task->msg_id, key_seed_) == key);
    check_task(*task);
    waiting += task->state == TaskState::waiting ? 1U : 0U;
    abandoned += task->state == TaskState::abandoned ? 1U : 0U;
  }
  IPF_CHECK(waiting == waiting_ && abandoned == abandoned_);
  IPF_CHECK(affected_.empty() && released_.empty());
  IPF_CHECK(finished_.size() <= options_.finished_max);
}

}  // namespace ipf
