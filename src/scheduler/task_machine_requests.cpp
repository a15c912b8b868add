// TaskMachine: requests, what they ask for, and those of an earlier controller.
#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "scheduler/task_machine.hpp"

namespace ipf {

namespace {

Duration from_seconds(double seconds) {
  return Duration{static_cast<std::int64_t>(seconds * 1e9)};
}

std::string_view name_of(DependencyKind kind) {
  return kind == DependencyKind::after ? "after" : "follow";
}

}  // namespace

void TaskMachine::on(TimePoint now, TaskSubmitted& event, TaskActions& actions) {
  if (finished_.find(key_of(event.msg_id, key_seed_)) && find_task(event.msg_id) == nullptr) {
    actions.emplace_back(
        AnswerAgain{.msg_id = std::move(event.msg_id), .request = std::move(event.request)});
    return;
  }
  if (Task* task = take_in(event, actions); task != nullptr) {
    if (is_ready(now, *task, event.options, actions)) {
      place_or_wait(now, *task, actions);
    }
    note_submission(*task, actions);
  }
}

TaskMachine::Task* TaskMachine::take_in(TaskSubmitted& event, TaskActions& actions) {
  const TaskKey key = key_of(event.msg_id, key_seed_);
  if (const auto known = tasks_.find(key); known != tasks_.end()) {
    if (known->second->state == TaskState::abandoned) {  // nobody else would answer
      actions.emplace_back(FailTask{
          .msg_id = std::move(event.msg_id),
          .engine_uuid = {},
          .request = std::move(event.request),
          .failure = {"ValueError", "an engine is still busy with a task of this msg_id"}});
      return nullptr;
    }
    actions.emplace_back(TaskLog{
        LogLevel::debug, "task::dropped a second task with the msg_id of an unfinished one"});
    return nullptr;
  }
  Task& task = new_task();
  task.msg_id = std::move(event.msg_id);
  task.key = key;
  task.request = std::move(event.request);
  task.ticket = next_ticket_++;
  task.client = event.client;
  graph_.begin(task);
  tasks_.emplace(key, &task);
  return &task;
}

bool TaskMachine::is_ready(TimePoint now, Task& task, TaskOptions& options, TaskActions& actions) {
  if (options_.scheme != SchemeName::pure) {
    if (auto refused = take_wishes(task, options)) {
      fail(task, std::move(*refused), actions);
      return false;
    }
  }
  const auto standing = DependencyGraph::standing(task);
  if (standing == DependencyGraph::Standing::impossible) {
    fail(task, {"ImpossibleDependency", "its dependencies can never be met"}, actions);
    return false;
  }
  if (standing == DependencyGraph::Standing::waits) {
    task.state = TaskState::blocked;
    task.since = now;
    if (task.timeout.count() > 0) {
      set_deadline(task, now + task.timeout);
    }
    return false;
  }
  task.follow_known = task.follow_engines.size();
  return true;
}

void TaskMachine::note_submission(Task& task, TaskActions& actions) {
  if (!task.noted && (task.state == TaskState::waiting || task.state == TaskState::blocked)) {
    task.noted = true;
    actions.emplace_back(NoteSubmission{.msg_id = task.msg_id, .request = *task.request});
  }
}

// ---- restart ------------------------------------------------------------------------------------

void TaskMachine::on(TimePoint /*now*/, OutcomeRestored& event, TaskActions& /*actions*/) {
  finished_.add(
      key_of(event.msg_id, key_seed_),
      {.succeeded = event.succeeded,
       .engine = event.engine_uuid.empty() ? EngineKey{0} : engine_key(event.engine_uuid)});
}

void TaskMachine::on(TimePoint /*now*/, OutcomesRestored& event, TaskActions& /*actions*/) {
  for (const auto& outcome : event.outcomes) {
    finished_.add(outcome);
  }
}

/// First all tasks become known, then those that engines had go back to these, in the order in
/// which they got them; the others start where room is left.
void TaskMachine::on(TimePoint now, TasksRestored& event, TaskActions& actions) {
  for (auto& task : event.tasks) {
    restore(now, task, actions);
  }
  std::sort(old_places_.begin(), old_places_.end(),
            [](const auto& a, const auto& b) { return a.handed_over < b.handed_over; });
  // More than fit: the engine had left and come back, and has lost what it had before that.
  std::unordered_map<std::string_view, std::uint32_t> counts;
  for (const auto& old : old_places_) {
    ++counts[old.engine_uuid];
  }
  for (const auto& old : old_places_) {
    const bool fits = options_.hwm == 0 || counts[old.engine_uuid]-- <= options_.hwm;
    place_restored(now, *old.task, old.engine_uuid, fits, actions);
    note_submission(*old.task, actions);
  }
  old_places_.clear();
  settle(now, nullptr, actions);
}

void TaskMachine::restore(TimePoint now, TaskRestored& event, TaskActions& actions) {
  TaskOptions& options = event.task.options;
  if (!event.engine_uuid.empty()) {
    options.after = {};  // was met when it was handed over, whatever is remembered of it
  }
  Task* task = take_in(event.task, actions);
  if (task == nullptr) {
    return;
  }
  if (!is_ready(now, *task, options, actions)) {
    return note_submission(*task, actions);  // blocked as it was, or settled
  }
  if (event.progress && options_.scheme != SchemeName::pure) {
    task->retries_left = event.progress->retries_left;
    task->excluded = std::move(event.progress->excluded);
    task->killed = std::move(event.progress->killed);
    task->stale = std::move(event.progress->stale);
  }
  if (!event.engine_uuid.empty()) {
    old_places_.push_back({.handed_over = event.handed_over,
                           .task = task,
                           .engine_uuid = std::move(event.engine_uuid)});
  } else if (hopeless(*task)) {
    give_up(*task, actions);
  } else {
    enqueue(now, *task);
    released_.push_back(task);
    note_submission(*task, actions);
  }
}

void TaskMachine::place_restored(
    TimePoint now, Task& task, std::string_view at, bool fits, TaskActions& actions) {
  Engine* engine = find_engine(engine_key(at));
  // It may be suspected: nobody has heard of it since the restart.
  const bool room = engine != nullptr && fits && task.may_use(engine->key) &&
                    (task.shape == nullptr || engine->can_hold_now(*task.shape->need));
  if (room) {
    place(now, task, *engine, actions);
    task.sent_before = true;
    std::get<SendTask>(actions.back()).restored = true;
    return;
  }
  // Its engine did not survive, or the limits were lowered: nobody knows whether it ran.
  task.lost_engine = at;
  task.engine_key = engine_key(at);
  lose(now, task, actions);
}

std::optional<RemoteFailure> TaskMachine::take_wishes(Task& task, TaskOptions& options) {
  take_options(task, options);
  if (!options.after.empty() || !options.follow.empty()) {
    auto invalid = take_dependencies(task, DependencyKind::after, options.after);
    if (!invalid) {
      invalid = take_dependencies(task, DependencyKind::follow, options.follow);
    }
    if (invalid) {
      return invalid;
    }
    task.has_follow = !options.follow.empty();
  }
  if (options.resources.empty()) {
    return std::nullopt;
  }
  if (shapes_.size() >= options_.resource_shapes_max && !shapes_.contains(options.resources)) {
    return RemoteFailure{"ResourceError",
                         "too many tasks with different resources are unfinished (" +
                             std::to_string(shapes_.size()) + ")"};
  }
  const auto shape = shapes_.try_emplace(std::move(options.resources)).first;
  shape->second.need = &shape->first;
  task.shape = &shape->second;
  ++task.shape->tasks;
  return std::nullopt;
}

void TaskMachine::take_options(Task& task, TaskOptions& options) {
  task.priority = options.priority;
  task.retries_left = options.retries;
  task.timeout = from_seconds(options.timeout_seconds);
  task.run_timeout = from_seconds(options.run_timeout_seconds);
  task.has_targets = !options.targets.empty();
  for (const auto& uuid : options.targets) {
    task.targets.push_back(engine_key(uuid));
  }
  std::sort(task.targets.begin(), task.targets.end());
  task.targets.erase(std::unique(task.targets.begin(), task.targets.end()), task.targets.end());
}

std::optional<RemoteFailure> TaskMachine::take_dependencies(Task& task,
                                                            DependencyKind kind,
                                                            DependencySpec& spec) {
  auto& progress = kind == DependencyKind::after ? task.after : task.follow;
  progress.all = spec.all;
  progress.success = spec.success;
  progress.failure = spec.failure;
  std::sort(spec.msg_ids.begin(), spec.msg_ids.end());
  spec.msg_ids.erase(std::unique(spec.msg_ids.begin(), spec.msg_ids.end()), spec.msg_ids.end());
  for (const auto& msg_id : spec.msg_ids) {
    const auto invalid = [&](const std::string& why) {
      return RemoteFailure{"InvalidDependency",
                           "'" + std::string(name_of(kind)) + "' names " + why};
    };
    Task* unfinished = find_task(msg_id);
    if (unfinished == &task) {
      return invalid("the task itself");
    }
    if (unfinished != nullptr && unfinished->state != TaskState::abandoned) {
      graph_.depend_on_unfinished(task, kind, *unfinished);
      continue;
    }
    const auto outcome = finished_.find(key_of(msg_id, key_seed_));
    if (!outcome) {
      return invalid("task '" + printable(msg_id) +
                     "', which the task scheduler does not know: it was not sent through a "
                     "load-balanced view, or more than " +
                     std::to_string(finished_.limit()) + " tasks ended after it");
    }
    DependencyGraph::depend_on_finished(task, kind, *outcome);
  }
  return std::nullopt;
}

}  // namespace ipf
