// TaskMachine: why a task is where it is, in sentences for people.
#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "scheduler/task_machine.hpp"

namespace ipf {

namespace {

constexpr std::size_t names_max = 5;

std::string number_text(double number) {
  std::array<char, 32> text{};
  return {text.data(),
          static_cast<std::size_t>(std::snprintf(text.data(), text.size(), "%g", number))};
}

std::string need_text(const ResourceMap& need) {
  std::string out;
  for (const auto& [name, amount] : need) {
    out += (out.empty() ? "" : ", ") + printable(name) + "=" + number_text(amount);
  }
  return out;
}

std::string counted(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

/// What keeps each of the engines that a task may use from starting it.
struct Obstacles {
  std::size_t usable{};
  std::size_t suspected{};
  std::size_t too_small{};
  std::size_t full{};
  std::size_t in_use{};  ///< its resources are
};

std::string sentence(const Obstacles& found, const ScheduledTask& task, std::uint32_t hwm) {
  std::string out;
  const auto add = [&](std::size_t count, const std::string& text) {
    if (count > 0) {
      out += (out.empty() ? "" : ", ") + (count == found.usable ? "all" : std::to_string(count)) +
             " " + text;
    }
  };
  add(found.suspected, "silent, maybe frozen");
  if (task.shape != nullptr) {
    add(found.too_small, "with less than " + need_text(*task.shape->need) + " in total");
    add(found.in_use, "with less than " + need_text(*task.shape->need) +
                          " free, or keeping it for a task that goes first");
  }
  add(found.full, "busy (hwm=" + std::to_string(hwm) + ")");
  return out;
}

}  // namespace

TaskExplanation TaskMachine::explain(TimePoint now, std::string_view msg_id) const {
  const Task* task = find_task(msg_id);
  if (task == nullptr || task->state == TaskState::abandoned) {
    const auto outcome = finished_.find(key_of(msg_id, key_seed_));
    if (!outcome) {
      return {.state = "unknown",
              .reason =
                  "the task scheduler does not know it: it was not sent through a "
                  "load-balanced view, or ended long ago"};
    }
    return {.state = "finished",
            .reason = outcome->succeeded ? "it ended well" : "it failed or was refused"};
  }
  switch (task->state) {
    case TaskState::blocked:
      return {.state = "blocked", .reason = explain_blocked(*task)};
    case TaskState::waiting:
      return explain_wait(*task);
    case TaskState::orphaned:
      return {.state = "orphaned",
              .reason = "its engine '" + printable(task->lost_engine) +
                        "' is gone; a reply that is under way still counts for a moment"};
    default:
      return explain_run(now, *task);
  }
}

std::string TaskMachine::explain_blocked(const Task& task) const {
  std::vector<std::string> names;
  for (const auto& edge : task.waits_for) {
    if (edge.valid()) {
      names.push_back("'" + printable(static_cast<const Task&>(*edge.node).msg_id) + "'");
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), names_max); ++i) {
    list += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > names_max) {
    list += " and " + std::to_string(names.size() - names_max) + " more";
  }
  const bool any = (task.after.wanted > 0 && !task.after.all && !task.after.met()) ||
                   (task.follow.wanted > 0 && !task.follow.all && !task.follow.met());
  return "it waits for " + std::string(any ? "one of " : "") + counted(names.size(), "task") +
         " that it depends on: " + list;
}

TaskExplanation TaskMachine::explain_run(TimePoint now, const Task& task) const {
  const Engine& engine = engines_[task.engine];
  const std::string where = "engine '" + printable(engine.uuid) + "'";
  const std::string seconds =
      number_text(std::chrono::duration<double>(now - task.since).count()) + " s";
  std::size_t ahead = 0;
  for (const Task* older = task.older; older != nullptr; older = older->older) {
    ++ahead;
  }
  std::string reason = where + " has it since " + seconds;
  if (task.phase == RunPhase::interrupted || task.phase == RunPhase::killed) {
    reason = "it ran for longer than its run_timeout on " + where + ", which was sent " +
             (task.phase == RunPhase::interrupted ? "SIGINT" : "SIGKILL");
  } else if (ahead > 0 && !task.started) {
    reason = where + " has it and runs " + counted(ahead, "older task") + " first";
  } else if (task.started) {
    reason = "it runs on " + where + " since " + seconds;
  }
  if (engine.suspected) {
    reason += "; the engine does not answer at the moment and may be frozen";
  }
  return {.state = "running", .reason = std::move(reason)};
}

TaskExplanation TaskMachine::explain_wait(const Task& task) const {
  TaskExplanation out{.state = "waiting", .reason = {}};
  if (slots_.empty()) {
    out.reason = "no engine is registered";
    return out;
  }
  Obstacles found;
  for (const auto& [key, slot] : slots_) {
    const Engine& engine = engines_[slot];
    if (!task.may_use(key)) {
      continue;
    }
    ++found.usable;
    if (engine.suspected) {
      ++found.suspected;
    } else if (task.shape != nullptr && !engine.could_hold(*task.shape->need)) {
      ++found.too_small;
    } else if (!has_room(engine)) {
      ++found.full;
    } else {
      ++found.in_use;
    }
  }
  std::string who = "of " + counted(slots_.size(), "engine");
  if (task.has_targets) {
    who = "of its " + counted(task.targets.size(), "target");
  } else if (task.has_follow) {
    who = "of the " + counted(task.follow_engines.size(), "engine") +
          " where the tasks that it follows ran";
  }
  if (found.usable == 0) {
    out.reason = task.excluded.empty()
                     ? "none " + who + " is here"
                     : "it failed, was unmet or could not be handed over on each engine that is "
                       "here and that it may use; it waits for another one";
    return out;
  }
  out.reason = who + ", " + std::to_string(found.usable) + " can be used; " +
               sentence(found, task, options_.hwm);
  if (task.shape != nullptr && found.too_small == found.usable) {
    out.reason += "; it waits for an engine that has more";
  }
  return out;
}

}  // namespace ipf
