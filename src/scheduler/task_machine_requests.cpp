// TaskMachine: requests, what they ask for, and those of an earlier controller.
#include <algorithm>
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
  submit(now, event, {}, actions);
}

void TaskMachine::on(TimePoint now, TaskRestored& event, TaskActions& actions) {
  submit(now, event.task, event.engine_uuid, actions);
}

void TaskMachine::on(TimePoint /*now*/, OutcomeRestored& event, TaskActions& /*actions*/) {
  finished_.add(
      key_of(event.msg_id, key_seed_),
      {.succeeded = event.succeeded,
       .engine = event.engine_uuid.empty() ? EngineKey{0} : engine_key(event.engine_uuid)});
}

void TaskMachine::submit(TimePoint now,
                         TaskSubmitted& event,
                         std::string_view restored_at,
                         TaskActions& actions) {
  const TaskKey key = key_of(event.msg_id, key_seed_);
  if (const auto known = tasks_.find(key); known != tasks_.end()) {
    if (known->second->state == TaskState::abandoned) {  // nobody else would answer
      actions.emplace_back(FailTask{
          .msg_id = std::move(event.msg_id),
          .engine_uuid = {},
          .request = std::move(event.request),
          .failure = {"ValueError", "an engine is still busy with a task of this msg_id"}});
      return;
    }
    actions.emplace_back(TaskLog{
        LogLevel::debug, "task::dropped a second task with the msg_id of an unfinished one"});
    return;
  }
  Task& task = new_task();
  task.msg_id = std::move(event.msg_id);
  task.key = key;
  task.request = std::move(event.request);
  task.ticket = next_ticket_++;
  task.client = event.client;
  graph_.begin(task);
  tasks_.emplace(key, &task);
  if (options_.scheme != SchemeName::pure) {
    if (auto refused = take_wishes(task, event.options)) {
      return fail(task, std::move(*refused), actions);
    }
  }
  const auto standing = DependencyGraph::standing(task);
  if (standing == DependencyGraph::Standing::impossible) {
    fail(task, {"ImpossibleDependency", "its dependencies can never be met"}, actions);
  } else if (standing == DependencyGraph::Standing::waits) {
    task.state = TaskState::blocked;
    task.since = now;
    if (task.timeout.count() > 0) {
      set_deadline(task, now + task.timeout);
    }
  } else {
    task.follow_known = task.follow_engines.size();
    if (!restored_at.empty()) {
      place_restored(now, task, restored_at, actions);
    } else {
      place_or_wait(now, task, actions);
    }
  }
  if (task.state == TaskState::waiting || task.state == TaskState::blocked) {
    task.noted = true;
    actions.emplace_back(NoteSubmission{.msg_id = task.msg_id, .request = *task.request});
  }
}

void TaskMachine::place_restored(TimePoint now,
                                 Task& task,
                                 std::string_view at,
                                 TaskActions& actions) {
  Engine* engine = find_engine(engine_key(at));
  if (engine != nullptr && has_room(*engine) && task.may_use(engine->key) &&
      (task.shape == nullptr || engine->can_hold_now(*task.shape->need))) {
    return place(now, task, *engine, actions);
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
