#include "scheduler/task_machine.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <utility>

namespace ipf {

namespace {

/// As the user wrote it: 2, 0.5, 1e+06.
std::string seconds_text(Duration duration) {
  std::array<char, 32> text{};
  const double seconds = std::chrono::duration<double>(duration).count();
  return {text.data(),
          static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%gs", seconds))};
}

RemoteFailure run_timeout_failure(Duration limit) {
  return {"TaskTimeout", "ran longer than run_timeout=" + seconds_text(limit)};
}

}  // namespace

TaskMachine::TaskMachine(const TaskMachineOptions& options)
    : options_(options),
      key_seed_(Rng(options.seed).next()),
      rng_(options.seed),
      index_(LoadScheme::create(options.scheme)),
      finished_(options.finished_max) {
  if (options_.scheme == SchemeName::pure) {
    options_.hwm = 0;  // the reference's pure queue is a plain relay without a limit
  }
}

void TaskMachine::step(TimePoint now, TaskEvent event, TaskActions& actions) {
  std::visit([&](auto& concrete) { on(now, concrete, actions); }, event);
}

TimePoint TaskMachine::next_deadline() const {
  return deadlines_.empty() ? TimePoint::never() : std::get<0>(*deadlines_.begin());
}

std::uint32_t TaskMachine::load_of(std::string_view engine_uuid) const {
  const auto found = slots_.find(engine_key(engine_uuid));
  return found == slots_.end() ? 0 : engines_[found->second].load.load;
}

std::vector<SentTask> TaskMachine::unanswered_at(std::string_view engine_uuid) const {
  std::vector<SentTask> out;
  const auto found = slots_.find(engine_key(engine_uuid));
  const Task* task = found == slots_.end() ? nullptr : engines_[found->second].oldest;
  for (; task != nullptr; task = task->newer) {
    if (task->request) {
      out.push_back({.msg_id = task->msg_id, .request = *task->request});
    }
  }
  return out;
}

/// The lowest bit is left to FinishedTasks; 0 means no engine.
EngineKey TaskMachine::engine_key(std::string_view uuid) const {
  const EngineKey key = key_of(uuid, key_seed_) & ~EngineKey{1};
  return key == 0 ? 2 : key;
}

TaskMachine::Task* TaskMachine::find_task(std::string_view msg_id) const {
  const auto found = tasks_.find(key_of(msg_id, key_seed_));
  return found == tasks_.end() || found->second->msg_id != msg_id ? nullptr : found->second;
}

TaskMachine::Engine* TaskMachine::find_engine(EngineKey key) {
  const auto found = slots_.find(key);
  return found == slots_.end() ? nullptr : &engines_[found->second];
}

// ---- replies ------------------------------------------------------------------------------------

void TaskMachine::on(TimePoint now, TaskReplied& event, TaskActions& actions) {
  Task* found = find_task(event.msg_id);
  const EngineKey from = engine_key(event.engine_uuid);
  const bool of_this_engine = found != nullptr &&
                              (found->on_engine() || found->state == TaskState::orphaned) &&
                              found->engine_key == from;
  // A frozen engine that woke up answers a task that was given to others meanwhile.
  const bool stale =
      found != nullptr && (!of_this_engine || event.aborted) && std::erase(found->stale, from) > 0;
  if (stale) {
    reply_of_stale_copy(*found, of_this_engine, event, actions);
    return settle(now, nullptr, actions);
  }
  if (!of_this_engine) {
    actions.emplace_back(dropped_reply(event.engine_uuid));
    return;
  }
  Task& task = *found;
  if (task.state == TaskState::abandoned) {
    Engine* engine = release(now, task);
    forget(task);
    return settle(now, engine, actions);
  }
  if (task.phase == RunPhase::interrupted || task.phase == RunPhase::killed) {
    return reply_of_timed_out(now, task, event.succeeded, actions);
  }
  Engine* engine = release(now, task);
  if (!event.dependencies_met || (!event.succeeded && task.retries_left > 0)) {
    try_elsewhere(now, task, event, actions);
  } else {
    deliver(task, std::move(event.engine_uuid), std::move(event.reply), event.succeeded, actions);
  }
  settle(now, engine, actions);
}

void TaskMachine::on(TimePoint now, TaskStarted& event, TaskActions& /*actions*/) {
  Task* task = find_task(event.msg_id);
  if (task == nullptr || task->state != TaskState::running || task->started ||
      task->engine_key != engine_key(event.engine_uuid)) {
    return;
  }
  task->started = true;
  if (task->phase == RunPhase::untimed || task->phase == RunPhase::timed) {
    begin_run(now, *task);
  }
}

void TaskMachine::on(TimePoint now, TaskUndeliverable& event, TaskActions& actions) {
  Task* task = find_task(event.msg_id);
  if (task == nullptr || task->state != TaskState::running) {
    return;
  }
  actions.emplace_back(
      TaskLog{LogLevel::warning, "task::engine '" + printable(engines_[task->engine].uuid) +
                                     "' cannot be reached; its task goes to another one"});
  task->excluded.push_back(task->engine_key);
  note_return(*task, actions);
  Engine* engine = release(now, *task);
  place_or_wait(now, *task, actions);
  settle(now, engine, actions);
}

// ---- engines ------------------------------------------------------------------------------------

void TaskMachine::on(TimePoint now, EngineJoined& event, TaskActions& actions) {
  const EngineKey key = engine_key(event.uuid);
  if (slots_.contains(key)) {
    return;
  }
  auto slot = static_cast<EngineSlot>(engines_.size());
  if (free_slots_.empty()) {
    engines_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Engine& engine = engines_[slot];
  engine = Engine{};
  engine.uuid = std::move(event.uuid);
  engine.key = key;
  engine.alive = true;
  engine.load = {.slot = slot, .load = 0, .stamp = joining_stamp_--};
  engine.capacity = std::move(event.resources);
  slots_.emplace(key, slot);
  index_->add(engine.load);
  if (!engine.capacity.empty()) {
    with_resources_.push_back(slot);
  }
  for (const auto& entry : restricted_) {
    if (entry.valid() && entry.task->may_use(key)) {
      enqueue_at(engine, *entry.task);
    }
  }
  settle(now, &engine, actions);
}

void TaskMachine::on(TimePoint now, EngineLeft& event, TaskActions& actions) {
  Engine* engine = find_engine(engine_key(event.uuid));
  if (engine == nullptr) {
    return;
  }
  if (has_room(*engine)) {
    index_->remove(engine->load);
  }
  engine->alive = false;
  running_ -= engine->load.load;
  slots_.erase(engine->key);
  std::erase(with_resources_, engine->load.slot);
  std::vector<Task*> named;
  const auto name = [&](Waiter& task) { named.push_back(static_cast<Task*>(&task)); };
  engine->own_queue.for_each(name);
  engine->own_shaped.for_each(name);
  engine->too_large.for_each(name);
  std::sort(named.begin(), named.end(),
            [](const Task* a, const Task* b) { return a->ticket < b->ticket; });
  lose_tasks(now, *engine, event.silent, actions);
  for (Task* task : named) {
    if (task->state == TaskState::waiting && hopeless(*task)) {
      give_up(*task, actions);
    }
  }
  const EngineSlot slot = engine->load.slot;
  *engine = Engine{};
  free_slots_.push_back(slot);
  shaped_changed_ = true;
  settle(now, nullptr, actions);
}

/// Tasks run one after the other, so what was handed over first is what the engine was busy with.
void TaskMachine::lose_tasks(TimePoint now, Engine& engine, bool silent, TaskActions& actions) {
  std::vector<Task*> moved;
  bool first = true;
  for (Task* next = engine.oldest; next != nullptr; first = false) {
    Task& task = *next;
    next = task.newer;
    task.older = nullptr;
    task.newer = nullptr;
    set_deadline(task, TimePoint::never());
    if (task.state == TaskState::abandoned) {
      forget(task);
    } else if (task.phase == RunPhase::interrupted || task.phase == RunPhase::killed) {
      fail(task, run_timeout_failure(task.run_timeout), actions, engine.uuid);
    } else if (!task.started && !task.sent_before && (silent || (engine.ending && !first))) {
      moved.push_back(&task);
    } else {
      task.state = TaskState::orphaned;
      task.blamed = first || task.started;
      task.lost_engine = engine.uuid;
      set_deadline(task, now + options_.lost_engine_grace);
    }
  }
  engine.oldest = nullptr;
  engine.newest = nullptr;
  if (silent && !moved.empty()) {
    actions.emplace_back(TaskLog{
        LogLevel::warning,
        "task::engine '" + printable(engine.uuid) + "' is silent: " + std::to_string(moved.size()) +
            " tasks that it was not seen to begin go to others; what it runs of them all "
            "the same runs twice"});
  }
  std::stable_sort(moved.begin(), moved.end(),
                   [](const Task* a, const Task* b) { return a->priority > b->priority; });
  for (Task* task : moved) {
    if (silent) {
      task->stale.push_back(engine.key);
      actions.emplace_back(AbortAtEngine{.msg_id = task->msg_id, .engine_uuid = engine.uuid});
    }
    note_return(*task, actions);
    place_or_wait(now, *task, actions);
  }
}

void TaskMachine::on(TimePoint /*now*/, EngineSuspected& event, TaskActions& /*actions*/) {
  if (Engine* engine = find_engine(engine_key(event.uuid)); engine != nullptr) {
    set_suspected(*engine, true);
  }
}

void TaskMachine::on(TimePoint now, EngineTrusted& event, TaskActions& actions) {
  if (Engine* engine = find_engine(engine_key(event.uuid)); engine != nullptr) {
    set_suspected(*engine, false);
    settle(now, engine, actions);
  }
}

// ---- time ---------------------------------------------------------------------------------------

void TaskMachine::on(TimePoint now, TaskTimePassed& /*event*/, TaskActions& actions) {
  while (!deadlines_.empty() && std::get<0>(*deadlines_.begin()) <= now) {
    Task& task = *std::get<2>(*deadlines_.begin());
    set_deadline(task, TimePoint::never());
    Engine* engine = nullptr;
    if (task.state == TaskState::orphaned) {
      lose(now, task, actions);
    } else if (task.state == TaskState::running) {
      run_limit_passed(now, task, actions);
    } else if (task.state == TaskState::abandoned) {
      engine = release(now, task);
      forget(task);
    } else {
      fail(task, {"TaskTimeout", "not started within timeout=" + seconds_text(task.timeout)},
           actions);
    }
    settle(now, engine, actions);
  }
}

void TaskMachine::run_limit_passed(TimePoint now, Task& task, TaskActions& actions) {
  Engine& engine = engines_[task.engine];
  if (task.phase == RunPhase::killed) {  // nobody there who could kill it: the slot stays taken
    actions.emplace_back(TaskLog{LogLevel::error, "task::engine '" + printable(engine.uuid) +
                                                      "' could not be stopped; it stays busy with "
                                                      "a task behind its run_timeout"});
    answer_failure(task, run_timeout_failure(task.run_timeout), engine.uuid, actions);
    return abandon(task, TimePoint::never());
  }
  const bool first = task.phase == RunPhase::timed;
  task.phase = first ? RunPhase::interrupted : RunPhase::killed;
  engine.ending = engine.ending || !first;
  set_deadline(task, now + options_.interrupt_grace);
  actions.emplace_back(InterruptTask{
      .msg_id = task.msg_id, .engine_uuid = engine.uuid, .signal = first ? SIGINT : SIGKILL});
}

void TaskMachine::reply_of_timed_out(TimePoint now,
                                     Task& task,
                                     bool succeeded,
                                     TaskActions& actions) {
  std::string uuid = engines_[task.engine].uuid;
  if (succeeded && task.phase == RunPhase::interrupted) {
    answer_failure(task, run_timeout_failure(task.run_timeout), std::move(uuid), actions);
    abandon(task, now + options_.interrupt_settle);
    return settle(now, nullptr, actions);
  }
  Engine* engine = release(now, task);
  fail(task, run_timeout_failure(task.run_timeout), actions, std::move(uuid));
  settle(now, engine, actions);
}

}  // namespace ipf
