// TaskMachine: which engine a task gets, and which task an engine gets.
#include <algorithm>
#include <utility>

#include "core/check.hpp"
#include "scheduler/task_machine.hpp"

namespace ipf {

namespace {

constexpr std::size_t sweep_at_least = 64;
/// More clients than this at once, and their turns start anew.
constexpr std::size_t served_max = 4096;

ScheduledTask* task_of(Waiter* waiter) {
  return static_cast<ScheduledTask*>(waiter);
}

}  // namespace

// ---- an engine for a task -----------------------------------------------------------------------

TaskMachine::Engine* TaskMachine::choose(const Task& task) {
  if (task.has_targets) {
    return choose_among(task, task.targets);
  }
  if (task.has_follow) {
    return choose_among(task, task.follow_engines);
  }
  if (task.shape != nullptr) {
    return choose_by_resources(task);
  }
  if (!task.excluded.empty()) {
    return choose_not_excluded(task);
  }
  const auto slot = index_->pick(rng_);
  return slot ? &engines_[*slot] : nullptr;
}

TaskMachine::Engine* TaskMachine::choose_among(const Task& task,
                                               const std::vector<EngineKey>& keys) {
  std::vector<EngineLoad> candidates;
  for (const EngineKey key : keys) {
    Engine* engine = find_engine(key);
    if (engine != nullptr && task.may_use(key) && can_start(*engine, task)) {
      candidates.push_back(engine->load);
    }
  }
  return choose_from(candidates);
}

/// Only a few engines are excluded: they are taken out of the index for one choice.
TaskMachine::Engine* TaskMachine::choose_not_excluded(const Task& task) {
  std::vector<EngineLoad> taken_out;
  for (const EngineKey key : task.excluded) {
    const Engine* engine = find_engine(key);
    const auto same = [&](const EngineLoad& load) { return load.slot == engine->load.slot; };
    if (engine != nullptr && has_room(*engine) &&
        std::none_of(taken_out.begin(), taken_out.end(), same)) {
      taken_out.push_back(engine->load);
      index_->remove(engine->load);
    }
  }
  const auto slot = index_->pick(rng_);
  for (const auto& load : taken_out) {
    index_->add(load);
  }
  return slot ? &engines_[*slot] : nullptr;
}

TaskMachine::Engine* TaskMachine::choose_by_resources(const Task& task) {
  std::vector<EngineLoad> candidates;
  for (const EngineSlot slot : with_resources_) {
    Engine& engine = engines_[slot];
    if (has_room(engine) && task.may_use(engine.key) && can_start(engine, task)) {
      candidates.push_back(engine.load);
    }
  }
  return choose_from(candidates);
}

TaskMachine::Engine* TaskMachine::choose_from(const std::vector<EngineLoad>& candidates) {
  const auto slot = pick_among(options_.scheme, candidates, rng_);
  return slot ? &engines_[*slot] : nullptr;
}

bool TaskMachine::can_start(Engine& engine, const Task& task) {
  if (!has_room(engine)) {
    return false;
  }
  if (task.shape == nullptr) {
    return true;
  }
  if (!engine.can_hold_now(*task.shape->need)) {
    return false;
  }
  const Task* head = next_with_resources(engine).task;
  return head == nullptr || head == &task || goes_first(task, *head);
}

void TaskMachine::place(TimePoint now, Task& task, Engine& engine, TaskActions& actions) {
  set_deadline(task, TimePoint::never());
  if (task.state == TaskState::waiting) {
    end_wait(task);
    if (served_.size() >= served_max) {
      served_.clear();
    }
    served_[task.client] = next_served_++;
  }
  task.state = TaskState::running;
  task.lost_engine.clear();
  task.phase = RunPhase::untimed;
  task.started = false;
  task.sent_before = false;
  task.since = now;
  task.engine = engine.load.slot;
  task.engine_key = engine.key;
  task.older = engine.newest;
  task.newer = nullptr;
  (engine.newest == nullptr ? engine.oldest : engine.newest->newer) = &task;
  engine.newest = &task;
  if (task.shape != nullptr) {
    for (const auto& [name, amount] : *task.shape->need) {
      engine.used[name] += amount;
    }
  }
  change_load(engine, engine.load.load + 1, next_stamp_++);
  if (engine.oldest == &task) {
    begin_run(now, task);
  }
  actions.emplace_back(SendTask{.msg_id = task.msg_id,
                                .engine_uuid = engine.uuid,
                                .request = *task.request,
                                .first_sight = !task.noted,
                                .signed_anew = task.remembered});
  task.noted = true;
}

void TaskMachine::place_or_wait(TimePoint now, Task& task, TaskActions& actions) {
  if (Engine* engine = choose(task); engine != nullptr) {
    place(now, task, *engine, actions);
  } else if (hopeless(task)) {
    give_up(task, actions);
  } else {
    enqueue(now, task);
  }
}

bool TaskMachine::hopeless(const Task& task) const {
  if (any_engine_for(task)) {
    return false;
  }
  return task.has_targets || (task.has_follow && task.follow.complete()) ||
         (task.last_reply && task.timeout.count() == 0);
}

bool TaskMachine::any_engine_for(const Task& task) const {
  const auto here = [&](EngineKey key) {
    const auto slot = slots_.find(key);
    return slot != slots_.end() && task.may_use(key) &&
           (task.shape == nullptr || engines_[slot->second].could_hold(*task.shape->need));
  };
  if (task.has_targets) {
    return std::any_of(task.targets.begin(), task.targets.end(), here);
  }
  if (task.has_follow) {
    return std::any_of(task.follow_engines.begin(), task.follow_engines.end(), here);
  }
  if (task.shape != nullptr) {
    return std::any_of(with_resources_.begin(), with_resources_.end(),
                       [&](EngineSlot slot) { return here(engines_[slot].key); });
  }
  // Excluded engines are few: some other engine exists if more are alive than those excluded.
  std::vector<EngineKey> excluded(task.excluded);
  std::sort(excluded.begin(), excluded.end());
  excluded.erase(std::unique(excluded.begin(), excluded.end()), excluded.end());
  const auto alive = std::count_if(excluded.begin(), excluded.end(),
                                   [&](EngineKey key) { return slots_.contains(key); });
  return slots_.size() > static_cast<std::size_t>(alive);
}

void TaskMachine::give_up(Task& task, TaskActions& actions) {
  if (task.last_reply) {
    // It failed on every engine that it may use: its last error says more than a wait for ever.
    // The reply names the engine that made it.
    Message reply(*task.last_reply);
    std::string engine_uuid(reply.identity(0));
    deliver(task, std::move(engine_uuid), std::move(reply), false, actions);
  } else {
    fail(task, {"ImpossibleDependency", "none of the engines that the task may run on is left"},
         actions, task.lost_engine);
  }
}

// ---- waiting ------------------------------------------------------------------------------------

void TaskMachine::enqueue(TimePoint now, Task& task) {
  if (task.timeout.count() > 0 && task.state != TaskState::blocked) {
    set_deadline(task, now + task.timeout);  // the time of a blocked task is running already
  }
  task.state = TaskState::waiting;
  task.since = now;
  task.engine_key = 0;
  task.lost_engine.clear();
  task.wait_stamp = next_wait_stamp_++;
  ++waiting_;
  if (task.shape != nullptr) {
    ++waiting_for_resources_;
  }
  if (!task.restricted()) {
    (task.shape == nullptr ? general_queue_ : task.shape->queue).push(task);
    return;
  }
  if (restricted_.size() >= sweep_restricted_at_) {
    std::erase_if(restricted_, [](const auto& entry) { return !entry.valid(); });
    sweep_restricted_at_ = std::max(sweep_at_least, 2 * restricted_.size());
  }
  restricted_.push_back({&task, task.wait_stamp});
  const auto enqueue_by_key = [&](EngineKey key) {
    if (Engine* engine = find_engine(key); engine != nullptr && task.may_use(key)) {
      enqueue_at(*engine, task);
    }
  };
  if (task.has_targets) {
    std::for_each(task.targets.begin(), task.targets.end(), enqueue_by_key);
  } else if (task.has_follow) {
    std::for_each(task.follow_engines.begin(), task.follow_engines.end(), enqueue_by_key);
  } else {
    for (Engine& engine : engines_) {
      if (engine.alive && task.may_use(engine.key)) {
        enqueue_at(engine, task);
      }
    }
  }
}

void TaskMachine::enqueue_at(Engine& engine, Task& task) {
  if (task.shape == nullptr) {
    engine.own_queue.push(task);
  } else {
    (engine.could_hold(*task.shape->need) ? engine.own_shaped : engine.too_large).push(task);
  }
}

void TaskMachine::end_wait(Task& task) {
  task.wait_stamp = 0;
  --waiting_;
  if (task.shape != nullptr) {
    --waiting_for_resources_;
    shaped_changed_ = true;
  }
}

// ---- a task for an engine -----------------------------------------------------------------------

bool TaskMachine::goes_first(const Task& a, const Task& b) const {
  if (a.priority != b.priority) {
    return a.priority > b.priority;
  }
  if (a.client != b.client) {
    const auto served = [this](std::uint64_t client) {
      const auto found = served_.find(client);
      return found == served_.end() ? 0 : found->second;
    };
    const auto of_a = served(a.client);
    const auto of_b = served(b.client);
    if (of_a != of_b) {
      return of_a < of_b;
    }
  }
  return a.ticket < b.ticket;
}

TaskMachine::Candidate TaskMachine::next_for(Engine& engine) {
  Candidate best{.task = task_of(general_queue_.front()), .queue = &general_queue_};
  const auto offer = [&](Task* task, WaitQueue* queue) {
    if (task != nullptr && (best.task == nullptr || goes_first(*task, *best.task))) {
      best = {.task = task, .queue = queue};
    }
  };
  offer(task_of(engine.own_queue.front()), &engine.own_queue);
  if (waiting_for_resources_ > 0 && !engine.capacity.empty()) {
    const Candidate shaped = next_with_resources(engine);
    if (shaped.task != nullptr && engine.can_hold_now(*shaped.task->shape->need)) {
      offer(shaped.task, shaped.queue);
    }
  }
  return best;
}

/// Whether its resources are free or not: nobody of lower rank may take them away.
TaskMachine::Candidate TaskMachine::next_with_resources(Engine& engine) {
  Candidate best{.task = task_of(engine.own_shaped.front()), .queue = &engine.own_shaped};
  if (waiting_for_resources_ == 0) {
    return best;
  }
  for (auto& [need, shape] : shapes_) {
    Task* task = task_of(shape.queue.front());
    if (task != nullptr && engine.could_hold(need) &&
        (best.task == nullptr || goes_first(*task, *best.task))) {
      best = {.task = task, .queue = &shape.queue};
    }
  }
  return best;
}

void TaskMachine::fill(TimePoint now, Engine& engine, TaskActions& actions) {
  while (has_room(engine)) {
    const Candidate next = next_for(engine);
    if (next.task == nullptr) {
      return;
    }
    next.queue->pop();
    place(now, *next.task, engine, actions);
  }
}

// ---- after each event ---------------------------------------------------------------------------

void TaskMachine::settle(TimePoint now, Engine* freed, TaskActions& actions) {
  release_dependents(now, actions);
  if (!released_.empty()) {
    start_released(now, freed, actions);
  } else if (freed != nullptr) {
    fill(now, *freed, actions);
  }
  // Whoever waited behind a task that needs more resources may have its turn on any engine now.
  while (std::exchange(shaped_changed_, false) && waiting_for_resources_ > 0) {
    for (const EngineSlot slot : with_resources_) {
      fill(now, engines_[slot], actions);
    }
  }
}

void TaskMachine::release_dependents(TimePoint now, TaskActions& actions) {
  for (std::size_t i = 0; i < affected_.size(); ++i) {  // grows when a dependent fails
    const auto edge = affected_[i];
    if (!edge.valid()) {
      continue;
    }
    Task& task = static_cast<Task&>(*edge.node);
    if (task.state != TaskState::blocked && task.state != TaskState::waiting) {
      continue;
    }
    const auto standing = DependencyGraph::standing(task);
    if (standing == DependencyGraph::Standing::impossible) {
      fail(task, {"ImpossibleDependency", "its dependencies can never be met"}, actions);
    } else if (standing == DependencyGraph::Standing::ready) {
      const bool was_blocked = task.state == TaskState::blocked;
      if (hopeless(task)) {
        give_up(task, actions);
      } else if (was_blocked) {
        task.waits_for.clear();
        task.follow_known = task.follow_engines.size();
        enqueue(now, task);
        released_.push_back(&task);
      } else if (task.follow_known < task.follow_engines.size()) {
        task.follow_known = task.follow_engines.size();
        if (Engine* engine = find_engine(task.follow_engines.back());
            engine != nullptr && task.may_use(engine->key)) {
          enqueue_at(*engine, task);
        }
        released_.push_back(&task);
      }
    }
  }
  affected_.clear();
}

/// The tasks that were released may start on any engine with room; all others that wait, only on
/// `freed`. There the order decides what starts, and the scheme where.
void TaskMachine::start_released(TimePoint now, Engine* freed, TaskActions& actions) {
  while (freed != nullptr && has_room(*freed)) {
    const Candidate next = next_for(*freed);
    if (next.task == nullptr) {
      break;
    }
    Engine* engine = choose(*next.task);
    IPF_CHECK(engine != nullptr);
    next.queue->pop();
    place(now, *next.task, *engine, actions);
  }
  std::sort(released_.begin(), released_.end(), [](const Task* a, const Task* b) {
    return a->priority != b->priority ? a->priority > b->priority : a->ticket < b->ticket;
  });
  for (Task* task : released_) {
    if (task->state == TaskState::waiting) {
      if (Engine* engine = choose(*task); engine != nullptr) {
        place(now, *task, *engine, actions);
      }
    }
  }
  released_.clear();
}

}  // namespace ipf
