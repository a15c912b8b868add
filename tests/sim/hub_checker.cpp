#include "sim/hub_checker.hpp"

#include <algorithm>
#include <variant>

#include "protocol/json_text.hpp"
#include "sim/trace.hpp"

namespace ipf::sim {

namespace {

[[noreturn]] void fail(const std::string& why) {
  throw SimFailure("hub: " + why);
}

std::string counts_text(std::size_t direct, std::size_t tasks, std::size_t completed) {
  return std::to_string(direct) + " direct, " + std::to_string(tasks) + " tasks, " +
         std::to_string(completed) + " completed";
}

}  // namespace

HubChecker::TaskView& HubChecker::view(std::uint32_t task) {
  if (task == none) {
    fail("an event for a task that nobody sent");
  }
  if (task >= tasks_.size()) {
    tasks_.resize(std::max<std::size_t>(task + 1, tasks_.size() * 2));
  }
  return tasks_[task];
}

void HubChecker::take(std::uint32_t task) {
  TaskView& seen = view(task);
  if (seen.place == Place::on_engine) {
    std::erase(engines_.at(seen.engine).tasks, task);
  } else if (seen.place == Place::unassigned) {
    --unassigned_;
  }
}

void HubChecker::put(std::uint32_t task, const std::string& engine_uuid) {
  TaskView& seen = view(task);
  seen.engine = engine_number(engine_uuid);
  if (const auto engine = engines_.find(seen.engine); engine != engines_.end()) {
    seen.place = Place::on_engine;
    engine->second.tasks.push_back(task);
  } else {
    seen.place = Place::unassigned;
    ++unassigned_;
  }
}

void HubChecker::see(const HubEvent& event) {
  if (const auto* request = std::get_if<RequestSeen>(&event);
      request != nullptr && request->queue == TaskQueue::task) {
    const auto task = task_number(request->msg_id);
    if (!pending(task)) {
      ++pending_;
      put(task, request->engine_uuid);
    }
  } else if (const auto* assigned = std::get_if<TaskAssigned>(&event)) {
    const auto task = task_number(assigned->msg_id);
    if (pending(task)) {
      take(task);
      put(task, assigned->engine_uuid);
    }
  } else if (const auto* reply = std::get_if<ReplySeen>(&event);
             reply != nullptr && reply->queue == TaskQueue::task) {
    const auto task = task_number(reply->msg_id);
    if (pending(task)) {
      take(task);
      --pending_;
      view(task).place = Place::done;
      if (const auto engine = engines_.find(engine_number(reply->engine_uuid));
          engine != engines_.end()) {
        ++engine->second.completed;
      }
    }
  }
}

void HubChecker::see(const HubAction& action) {
  if (const auto* announced = std::get_if<AnnounceEngine>(&action)) {
    const auto number = engine_number(announced->uuid);
    if (!engines_.emplace(number, EngineView{.id = announced->id}).second) {
      fail("engine " + std::to_string(number) + " is announced twice");
    }
    if (!ids_.insert(announced->id.value).second) {
      fail("number " + std::to_string(announced->id.value) + " is given to two engines");
    }
  } else if (const auto* retired = std::get_if<RetireEngine>(&action)) {
    const auto engine = engines_.find(engine_number(retired->uuid));
    if (engine == engines_.end()) {
      fail("an engine is retired that is not here");
    }
    for (const auto task : engine->second.tasks) {
      tasks_[task].place = Place::unassigned;
      ++unassigned_;
    }
    ids_.erase(engine->second.id.value);
    engines_.erase(engine);
  }
}

bool HubChecker::pending(std::uint32_t task) const {
  return task < tasks_.size() &&
         (tasks_[task].place == Place::unassigned || tasks_[task].place == Place::on_engine);
}

void HubChecker::compare(const HubMachine& machine) const {
  const auto& ledger = machine.ledger();
  if (ledger.pending_count() != pending_ || ledger.unassigned_count() != unassigned_) {
    fail("counts " + std::to_string(ledger.pending_count()) + " pending and " +
         std::to_string(ledger.unassigned_count()) + " unassigned tasks; there are " +
         std::to_string(pending_) + " and " + std::to_string(unassigned_));
  }
  if (machine.engines().active().size() != engines_.size()) {
    fail("counts " + std::to_string(machine.engines().active().size()) + " engines of " +
         std::to_string(engines_.size()));
  }
}

void HubChecker::check_queue_reply(const std::string& content) const {
  const auto reply = parse_json_object(content, "queue_reply");
  if (!reply || reply->value("status", "") != "ok") {
    fail("queue_request was answered with " + content);
  }
  std::size_t sum = 0;
  for (const auto& [number, engine] : engines_) {
    const auto& entry = reply->value(std::to_string(engine.id.value), Json::object());
    const auto direct = entry.value("queue", std::size_t{999});
    const auto tasks = entry.value("tasks", std::size_t{999});
    const auto completed = entry.value("completed", std::size_t{999});
    if (direct != 0 || tasks != engine.tasks.size() || completed != engine.completed) {
      fail("queue_reply says of engine " + std::to_string(number) + ": " +
           counts_text(direct, tasks, completed) +
           "; it has: " + counts_text(0, engine.tasks.size(), engine.completed));
    }
    sum += tasks;
  }
  sum += reply->value("unassigned", std::size_t{999});
  if (sum != pending_) {
    fail("queue_reply adds up to " + std::to_string(sum) + " tasks of " + std::to_string(pending_));
  }
  if (reply->size() != engines_.size() + 2) {
    fail("queue_reply tells of " + std::to_string(reply->size() - 2) + " engines of " +
         std::to_string(engines_.size()));
  }
}

void HubChecker::restart() {
  for (auto& seen : tasks_) {
    seen.place = Place::unknown;
  }
  engines_.clear();
  ids_.clear();
  pending_ = 0;
  unassigned_ = 0;
}

void check_record(const DictStore& store, std::uint32_t task, const TaskChecker::Ending& ending) {
  const auto record = store.get(task_name(task));
  const auto fail_record = [&](const std::string& why) {
    fail("the record of task " + std::to_string(task) + " " + why);
  };
  if (!record) {
    fail_record("is not there");
  }
  if (!record->request || !record->reply || !record->received) {
    fail_record("is not complete");
  }
  if (record->request->header().find(task_name(task)) == std::string_view::npos) {
    fail_record("has the request of another one");
  }
  const auto engine = record->engine_uuid.empty() ? none : engine_number(record->engine_uuid);
  if (ending.engine != none && engine != ending.engine) {
    fail_record("names engine " + std::to_string(engine) + ", but it ended on " +
                std::to_string(ending.engine));
  }
}

}  // namespace ipf::sim
