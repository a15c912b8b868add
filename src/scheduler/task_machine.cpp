#include "scheduler/task_machine.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {

constexpr std::size_t sweep_at_least = 64;

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

RemoteFailure engine_error(const std::string& engine_uuid, const std::string& msg_id) {
  return {.ename = "EngineError",
          .evalue = "Engine '" + engine_uuid + "' died while running task '" + msg_id + "'"};
}

}  // namespace

bool TaskMachine::Task::may_use(const std::string& uuid) const {
  return (!has_targets || contains(targets, uuid)) && !contains(excluded, uuid);
}

void TaskMachine::Queue::push(Entry entry) {
  if (entries_.size() >= sweep_at_) {
    std::erase_if(entries_, [](const Entry& old) { return !old.valid(); });
    sweep_at_ = std::max(sweep_at_least, 2 * entries_.size());
  }
  entries_.push_back(entry);
}

TaskMachine::Task* TaskMachine::Queue::front() {
  while (!entries_.empty() && !entries_.front().valid()) {
    entries_.pop_front();
  }
  return entries_.empty() ? nullptr : entries_.front().task;
}

TaskMachine::TaskMachine(const TaskMachineOptions& options)
    : options_(options), rng_(options.seed), index_(LoadScheme::create(options.scheme)) {
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

std::uint32_t TaskMachine::load_of(const std::string& engine_uuid) const {
  const auto found = slots_.find(engine_uuid);
  return found == slots_.end() ? 0 : engines_[found->second].load.load;
}

// ---- events -------------------------------------------------------------------------------------

void TaskMachine::on(TimePoint now, TaskSubmitted& event, TaskActions& actions) {
  if (tasks_.contains(event.msg_id)) {
    actions.emplace_back(TaskLog{
        LogLevel::warning, "task::dropped a second task with the msg_id of an unfinished one"});
    return;
  }
  if (!event.options.after.empty() || !event.options.follow.empty()) {
    actions.emplace_back(NoteSubmission{.msg_id = event.msg_id, .request = event.request});
    actions.emplace_back(FailTask{
        .msg_id = std::move(event.msg_id),
        .engine_uuid = {},
        .request = std::move(event.request),
        .failure = {"InvalidDependency",
                    "'after' and 'follow' are not supported by this version of the controller"}});
    return;
  }
  Task& task = new_task();
  task.msg_id = std::move(event.msg_id);
  task.request = std::move(event.request);
  task.ticket = next_ticket_++;
  if (options_.scheme != SchemeName::pure) {
    task.retries_left = event.options.retries;
    task.has_targets = !event.options.targets.empty();
    task.targets = std::move(event.options.targets);
    task.timeout = Duration{static_cast<std::int64_t>(event.options.timeout_seconds * 1e9)};
  }
  tasks_.emplace(task.msg_id, &task);
  place_or_wait(now, task, actions);
  if (task.state == State::waiting) {
    task.noted = true;
    actions.emplace_back(NoteSubmission{.msg_id = task.msg_id, .request = *task.request});
  }
}

void TaskMachine::on(TimePoint now, TaskReplied& event, TaskActions& actions) {
  const auto found = tasks_.find(event.msg_id);
  const bool expected =
      found != tasks_.end() &&
      (found->second->state == State::running || found->second->state == State::orphaned) &&
      found->second->engine_uuid == event.engine_uuid;
  if (!expected) {
    actions.emplace_back(TaskLog{LogLevel::info, "task::dropped a reply of engine '" +
                                                     printable(event.engine_uuid) +
                                                     "' for a task that it does not run"});
    return;
  }
  Task& task = *found->second;
  Engine* engine = release(task);
  if (!event.dependencies_met || (!event.succeeded && task.retries_left > 0)) {
    try_elsewhere(now, task, event, actions);
  } else {
    deliver(task, std::move(event.reply), actions);
  }
  if (engine != nullptr) {
    fill(*engine, actions);
  }
}

void TaskMachine::on(TimePoint /*now*/, EngineJoined& event, TaskActions& actions) {
  if (slots_.contains(event.uuid)) {
    return;
  }
  EngineSlot slot = static_cast<EngineSlot>(engines_.size());
  if (free_slots_.empty()) {
    engines_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Engine& engine = engines_[slot];
  engine.uuid = event.uuid;
  engine.alive = true;
  engine.load = {.slot = slot, .load = 0, .stamp = joining_stamp_--};
  slots_.emplace(event.uuid, slot);
  index_->add(engine.load);
  for (const Entry& entry : restricted_.entries()) {
    if (entry.valid() && entry.task->may_use(engine.uuid)) {
      engine.own_queue.push(entry);
    }
  }
  fill(engine, actions);
}

void TaskMachine::on(TimePoint now, EngineLeft& event, TaskActions& actions) {
  Engine* engine = find_engine(event.uuid);
  if (engine == nullptr) {
    return;
  }
  if (has_room(*engine)) {
    index_->remove(engine->load);
  }
  engine->alive = false;
  for (Task* task : engine->tasks) {
    task->state = State::orphaned;
    set_deadline(*task, now + options_.lost_engine_grace);
  }
  engine->tasks.clear();
  slots_.erase(event.uuid);
  const std::deque<Entry> named = engine->own_queue.entries();
  engine->own_queue.clear();
  free_slots_.push_back(engine->load.slot);
  for (const Entry& entry : named) {
    if (entry.valid() && hopeless(*entry.task)) {
      give_up(*entry.task, actions);
    }
  }
}

void TaskMachine::on(TimePoint now, TaskUndeliverable& event, TaskActions& actions) {
  const auto found = tasks_.find(event.msg_id);
  if (found == tasks_.end() || found->second->state != State::running) {
    return;
  }
  Task& task = *found->second;
  actions.emplace_back(
      TaskLog{LogLevel::warning, "task::engine '" + printable(task.engine_uuid) +
                                     "' cannot be reached; its task goes to another one"});
  task.excluded.push_back(task.engine_uuid);
  Engine* engine = release(task);
  place_or_wait(now, task, actions);
  if (engine != nullptr) {
    fill(*engine, actions);
  }
}

void TaskMachine::on(TimePoint now, TaskTimePassed& /*event*/, TaskActions& actions) {
  while (!deadlines_.empty() && std::get<0>(*deadlines_.begin()) <= now) {
    Task& task = *std::get<2>(*deadlines_.begin());
    set_deadline(task, TimePoint::never());
    if (task.state == State::orphaned) {
      lose(now, task, actions);
    } else {
      fail(task, {"TaskTimeout", ""}, actions);
    }
  }
}

// ---- placement ----------------------------------------------------------------------------------

TaskMachine::Engine* TaskMachine::choose(const Task& task) {
  if (task.restricted()) {
    return choose_restricted(task);
  }
  const auto slot = index_->pick(rng_);
  return slot ? &engines_[*slot] : nullptr;
}

TaskMachine::Engine* TaskMachine::choose_restricted(const Task& task) {
  std::vector<EngineLoad> candidates;
  if (task.has_targets) {
    for (const auto& uuid : task.targets) {
      const Engine* engine = find_engine(uuid);
      if (engine != nullptr && has_room(*engine) && task.may_use(uuid)) {
        candidates.push_back(engine->load);
      }
    }
    std::sort(candidates.begin(), candidates.end(),
              [](const auto& a, const auto& b) { return a.slot < b.slot; });
    const auto same = [](const auto& a, const auto& b) { return a.slot == b.slot; };
    candidates.erase(std::unique(candidates.begin(), candidates.end(), same), candidates.end());
    const auto slot = pick_among(options_.scheme, candidates, rng_);
    return slot ? &engines_[*slot] : nullptr;
  }
  // Only a few engines are excluded: take them out of the index for one choice.
  for (const auto& uuid : task.excluded) {
    const Engine* engine = find_engine(uuid);
    if (engine != nullptr && has_room(*engine)) {
      candidates.push_back(engine->load);
      index_->remove(engine->load);
    }
  }
  const auto slot = index_->pick(rng_);
  for (const auto& load : candidates) {
    index_->add(load);
  }
  return slot ? &engines_[*slot] : nullptr;
}

void TaskMachine::place(Task& task, Engine& engine, TaskActions& actions) {
  set_deadline(task, TimePoint::never());
  task.state = State::running;
  task.engine = engine.load.slot;
  task.engine_uuid = engine.uuid;
  task.engine_place = engine.tasks.size();
  engine.tasks.push_back(&task);
  change_load(engine, engine.load.load + 1, next_stamp_++);
  actions.emplace_back(SendTask{.msg_id = task.msg_id,
                                .engine_uuid = engine.uuid,
                                .request = *task.request,
                                .first_sight = !task.noted});
  task.noted = true;
}

void TaskMachine::place_or_wait(TimePoint now, Task& task, TaskActions& actions) {
  if (Engine* engine = choose(task); engine != nullptr) {
    place(task, *engine, actions);
    return;
  }
  if (hopeless(task)) {
    give_up(task, actions);
  } else {
    enqueue(now, task);
  }
}

bool TaskMachine::hopeless(const Task& task) const {
  return !any_engine_for(task) &&
         (task.has_targets || (task.last_reply && task.timeout.count() == 0));
}

void TaskMachine::give_up(Task& task, TaskActions& actions) {
  if (task.last_reply) {
    // It failed on every engine that it may use: its last error says more than a wait for ever.
    // While it waits it has no engine; the reply names the one that made it.
    Message reply(*task.last_reply);
    task.engine_uuid = std::string(reply.identity(0));
    deliver(task, std::move(reply), actions);
  } else {
    fail(task, {"ImpossibleDependency", "none of the engines that the task may run on is left"},
         actions);
  }
}

void TaskMachine::enqueue(TimePoint now, Task& task) {
  task.state = State::waiting;
  task.engine_uuid.clear();
  if (task.timeout.count() > 0) {
    set_deadline(task, now + task.timeout);
  }
  const Entry entry{&task, task.ticket};
  if (!task.restricted()) {
    general_queue_.push(entry);
    return;
  }
  restricted_.push(entry);
  if (task.has_targets) {
    for (const auto& uuid : task.targets) {
      if (Engine* engine = find_engine(uuid); engine != nullptr && task.may_use(uuid)) {
        engine->own_queue.push(entry);
      }
    }
    return;
  }
  for (Engine& engine : engines_) {
    if (engine.alive && task.may_use(engine.uuid)) {
      engine.own_queue.push(entry);
    }
  }
}

void TaskMachine::fill(Engine& engine, TaskActions& actions) {
  while (has_room(engine)) {
    Task* own = engine.own_queue.front();
    while (own != nullptr && !own->may_use(engine.uuid)) {  // an entry from before it failed here
      engine.own_queue.pop();
      own = engine.own_queue.front();
    }
    Task* general = general_queue_.front();
    if (own == nullptr && general == nullptr) {
      return;
    }
    const bool take_own = general == nullptr || (own != nullptr && own->ticket < general->ticket);
    if (take_own) {
      engine.own_queue.pop();
    } else {
      general_queue_.pop();
    }
    place(take_own ? *own : *general, engine, actions);
  }
}

// ---- endings ------------------------------------------------------------------------------------

TaskMachine::Engine* TaskMachine::release(Task& task) {
  if (task.state == State::orphaned) {
    set_deadline(task, TimePoint::never());
    return nullptr;
  }
  Engine& engine = engines_[task.engine];
  Task* last = engine.tasks.back();
  engine.tasks[task.engine_place] = last;
  last->engine_place = task.engine_place;
  engine.tasks.pop_back();
  change_load(engine, engine.load.load - 1, engine.load.stamp);
  return &engine;
}

void TaskMachine::try_elsewhere(TimePoint now,
                                Task& task,
                                TaskReplied& event,
                                TaskActions& actions) {
  if (event.dependencies_met) {
    --task.retries_left;
    task.last_reply = std::move(event.reply);
  }
  task.excluded.push_back(event.engine_uuid);
  place_or_wait(now, task, actions);
}

void TaskMachine::lose(TimePoint now, Task& task, TaskActions& actions) {
  if (task.retries_left > 0) {
    --task.retries_left;
    task.excluded.push_back(task.engine_uuid);
    place_or_wait(now, task, actions);
    return;
  }
  fail(task, engine_error(task.engine_uuid, task.msg_id), actions);
}

void TaskMachine::deliver(Task& task, Message reply, TaskActions& actions) {
  actions.emplace_back(ForwardReply{.msg_id = task.msg_id,
                                    .engine_uuid = task.engine_uuid,
                                    .request = std::move(*task.request),
                                    .reply = std::move(reply)});
  finish(task);
}

void TaskMachine::fail(Task& task, RemoteFailure failure, TaskActions& actions) {
  if (!task.noted) {  // failed at once: without this the hub would have no record of it
    actions.emplace_back(NoteSubmission{.msg_id = task.msg_id, .request = *task.request});
  }
  actions.emplace_back(
      FailTask{.msg_id = task.msg_id,
               .engine_uuid = task.state == State::orphaned ? task.engine_uuid : std::string{},
               .request = std::move(*task.request),
               .failure = std::move(failure)});
  finish(task);
}

TaskMachine::Task& TaskMachine::new_task() {
  if (free_tasks_.empty()) {
    return pool_.emplace_back();
  }
  Task& task = *free_tasks_.back();
  free_tasks_.pop_back();
  return task;
}

void TaskMachine::finish(Task& task) {
  set_deadline(task, TimePoint::never());
  tasks_.erase(task.msg_id);
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
  engine.load.load = load;
  engine.load.stamp = stamp;
  if (has_room(engine)) {
    index_->add(engine.load);
  }
}

bool TaskMachine::any_engine_for(const Task& task) const {
  if (task.has_targets) {
    return std::any_of(task.targets.begin(), task.targets.end(), [&](const std::string& uuid) {
      return slots_.contains(uuid) && task.may_use(uuid);
    });
  }
  // Excluded engines are few: some other engine exists if more are alive than those excluded.
  const auto alive = std::count_if(task.excluded.begin(), task.excluded.end(),
                                   [&](const std::string& uuid) { return slots_.contains(uuid); });
  return slots_.size() > static_cast<std::size_t>(alive);
}

TaskMachine::Engine* TaskMachine::find_engine(const std::string& uuid) {
  const auto found = slots_.find(uuid);
  return found == slots_.end() ? nullptr : &engines_[found->second];
}

void TaskMachine::check_invariants() const {
  std::size_t with_room = 0;
  for (const auto& [uuid, slot] : slots_) {
    const Engine& engine = engines_[slot];
    IPF_CHECK(engine.alive && engine.uuid == uuid && engine.load.slot == slot);
    IPF_CHECK(engine.load.load == engine.tasks.size());
    IPF_CHECK(options_.hwm == 0 || engine.load.load <= options_.hwm);
    for (std::size_t i = 0; i < engine.tasks.size(); ++i) {
      const Task& task = *engine.tasks[i];
      IPF_CHECK(task.state == State::running && task.engine == slot && task.engine_place == i);
      IPF_CHECK(task.engine_uuid == uuid && task.may_use(uuid));
    }
    with_room += has_room(engine) ? 1U : 0U;
  }
  IPF_CHECK(index_->size() == with_room);
  for (const auto& [msg_id, task] : tasks_) {
    IPF_CHECK(task->msg_id == msg_id && task->state != State::gone && task->request.has_value());
    IPF_CHECK((task->state == State::waiting) == task->engine_uuid.empty());
    if (task->state != State::waiting) {
      continue;
    }
    for (const auto& [uuid, slot] : slots_) {
      IPF_CHECK(!has_room(engines_[slot]) || !task->may_use(uuid));
    }
  }
}

}  // namespace ipf
