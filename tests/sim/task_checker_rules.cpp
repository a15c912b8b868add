// TaskChecker: whether one order is allowed by what is known of tasks and engines.
#include <algorithm>

#include "sim/task_checker.hpp"

namespace ipf::sim {

namespace {

bool contains(const std::vector<std::uint32_t>& list, std::uint32_t item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

}  // namespace

// ---- dependencies -------------------------------------------------------------------------------

bool TaskChecker::over(std::uint32_t task) const {
  return task < views_.size() && views_[task].phase == Phase::ended && views_[task].era == era_;
}

bool TaskChecker::hit(const SimDependency& dependency, std::uint32_t on) const {
  return over(on) && (views_[on].succeeded ? dependency.success : dependency.failure);
}

bool TaskChecker::unreachable(const SimDependency& dependency) const {
  const auto missed = [&](std::uint32_t on) { return over(on) && !hit(dependency, on); };
  const auto& tasks = dependency.tasks;
  return dependency.all ? std::any_of(tasks.begin(), tasks.end(), missed)
                        : !tasks.empty() && std::all_of(tasks.begin(), tasks.end(), missed);
}

bool TaskChecker::met(const SimDependency& dependency) const {
  const auto hits = [&](std::uint32_t on) { return hit(dependency, on); };
  const auto& tasks = dependency.tasks;
  return tasks.empty() || (dependency.all ? std::all_of(tasks.begin(), tasks.end(), hits)
                                          : std::any_of(tasks.begin(), tasks.end(), hits));
}

/// Where tasks that it follows ended as wanted; `none` for those that ended on no engine.
std::vector<std::uint32_t> TaskChecker::follow_engines(const SimDependency& dependency) const {
  std::vector<std::uint32_t> out;
  for (const auto on : dependency.tasks) {
    if (hit(dependency, on) && !contains(out, views_[on].end_engine)) {
      out.push_back(views_[on].end_engine);
    }
  }
  return out;
}

TaskChecker::Standing TaskChecker::standing(std::uint32_t task) const {
  const Wish& wish = book_.wish(task);
  const auto& follow = wish.follow;
  const auto places = follow_engines(follow);
  const bool scattered =
      follow.all && !follow.tasks.empty() && (places.size() > 1 || contains(places, none));
  const bool complete = std::all_of(follow.tasks.begin(), follow.tasks.end(),
                                    [&](std::uint32_t on) { return over(on); });
  const bool somewhere =
      std::any_of(places.begin(), places.end(), [](std::uint32_t place) { return place != none; });
  const bool nowhere = !follow.tasks.empty() && complete && !somewhere;
  if (unreachable(wish.after) || unreachable(follow) || scattered || nowhere) {
    return Standing::impossible;
  }
  const bool has_place = follow.tasks.empty() || (met(follow) && somewhere);
  return met(wish.after) && has_place ? Standing::ready : Standing::waits;
}

bool TaskChecker::names_unknown(std::uint32_t task, const SimDependency& dependency) const {
  return std::any_of(dependency.tasks.begin(), dependency.tasks.end(), [&](std::uint32_t on) {
    return on == task || on >= views_.size() || views_[on].phase == Phase::unseen ||
           views_[on].era != era_;
  });
}

// ---- engines ------------------------------------------------------------------------------------

bool TaskChecker::may_use(std::uint32_t task, std::uint32_t engine) const {
  if (const Extra* more = extra(task); more != nullptr && contains(more->excluded, engine)) {
    return false;
  }
  if (options_.scheme == SchemeName::pure) {
    return true;
  }
  const Wish& wish = book_.wish(task);
  return (wish.targets.empty() || contains(wish.targets, engine)) &&
         (wish.follow.tasks.empty() || contains(follow_engines(wish.follow), engine));
}

/// An engine that may run it and has, when idle, what it needs.
bool TaskChecker::any_engine_for(std::uint32_t task) const {
  const auto& needs = book_.wish(task).resources;
  const auto large_enough = [&](const EngineView& engine) {
    return options_.scheme == SchemeName::pure ||
           std::all_of(needs.begin(), needs.end(), [&](const auto& need) {
             const auto has = engine.capacity.find(need.first);
             return has != engine.capacity.end() && need.second <= has->second;
           });
  };
  for (std::uint32_t engine = 0; engine < engines_.size(); ++engine) {
    if (engines_[engine].joined && may_use(task, engine) && large_enough(engines_[engine])) {
      return true;
    }
  }
  return false;
}

void TaskChecker::check_place(std::uint32_t task, std::uint32_t engine) {
  const EngineView& view = engine_view(engine);
  const auto where = "sent to engine " + std::to_string(engine);
  if (!view.joined || view.suspected) {
    fail(task, where + ", which is " + (view.joined ? "suspected" : "not here"));
  }
  if (!has_room(view)) {
    fail(task, where + ", which has " + std::to_string(view.load()) + " tasks with hwm " +
                   std::to_string(options_.hwm));
  }
  if (options_.scheme == SchemeName::pure) {
    return;
  }
  if (views_[task].invalid) {
    fail(task, where + " though nobody knows what it depends on");
  }
  if (!book_.plain(task) && standing(task) != Standing::ready) {
    fail(task, where + " before its dependencies are met");
  }
  if (!may_use(task, engine)) {
    fail(task, where + ", which it must not use (targets, follow, failed there)");
  }
  check_resources(task, view);
  if (options_.scheme == SchemeName::leastload) {
    check_least_loaded(task, engine);
  }
}

void TaskChecker::check_resources(std::uint32_t task, const EngineView& view) const {
  for (const auto& [name, amount] : book_.wish(task).resources) {
    double used = amount;
    for (const auto other : view.tasks) {
      const auto& needs = book_.wish(other).resources;
      const auto need = needs.find(name);
      used += need == needs.end() ? 0.0 : need->second;
    }
    const auto has = view.capacity.find(name);
    if (has == view.capacity.end() || used > has->second * (1 + 1e-6)) {
      fail(task, "sent to an engine that has too little " + name + " free");
    }
  }
}

/// Tasks that need resources are left out: who of several goes first decides on their engines, too.
void TaskChecker::check_least_loaded(std::uint32_t task, std::uint32_t engine) const {
  const Wish& wish = book_.wish(task);
  if (!wish.resources.empty()) {
    return;
  }
  const auto load = engines_[engine].load();
  const Extra* more = extra(task);
  const auto refuse = [&](std::uint32_t least) {
    fail(task, "leastload chose engine " + std::to_string(engine) + " with " +
                   std::to_string(load) + " tasks; another one had " + std::to_string(least));
  };
  if (wish.restricted_from_start()) {
    for (std::uint32_t other = 0; other < engines_.size(); ++other) {
      if (has_room(engines_[other]) && engines_[other].load() < load && may_use(task, other)) {
        refuse(engines_[other].load());
      }
    }
    return;
  }
  for (const auto& [least, count] : rooms_) {
    if (least >= load) {
      return;
    }
    std::vector<std::uint32_t> excluded =
        more == nullptr ? std::vector<std::uint32_t>{} : more->excluded;
    std::sort(excluded.begin(), excluded.end());
    excluded.erase(std::unique(excluded.begin(), excluded.end()), excluded.end());
    const auto not_for_it =
        std::count_if(excluded.begin(), excluded.end(), [&, wanted = least](std::uint32_t other) {
          return has_room(engines_[other]) && engines_[other].load() == wanted;
        });
    if (count > static_cast<std::size_t>(not_for_it)) {
      refuse(least);
    }
  }
}

/// A task that may run anywhere could have had this place.
void TaskChecker::check_priority(std::uint32_t task) const {
  if (plain_waiting_.empty() || options_.scheme == SchemeName::pure) {
    return;
  }
  const int highest = plain_waiting_.rbegin()->first;
  if (highest > book_.wish(task).priority) {
    fail(task, "sent before a task of priority " + std::to_string(highest));
  }
}

// ---- reasons ------------------------------------------------------------------------------------

void TaskChecker::check_reason(std::uint32_t task, const FailTask& action) const {
  const View& seen = views_[task];
  const Wish& wish = book_.wish(task);
  const std::string& name = action.failure.ename;
  const bool lost = seen.phase == Phase::waiting && seen.died;
  bool right = false;
  if (name == "EngineError") {
    right = lost && seen.out_of_retries &&
            (seen.charges >= wish.retries || options_.scheme == SchemeName::pure);
  } else if (name == "PoisonTask") {
    right = lost && seen.blamed && scheduler_.poison_limit > 0 &&
            seen.deaths >= scheduler_.poison_limit;
  } else if (name == "TaskTimeout" && seen.signals > 0) {
    right = now_ >= seen.sent + wish.run_timeout;
  } else if (name == "TaskTimeout") {
    right = seen.phase == Phase::waiting && wish.timeout.count() > 0 &&
            now_ >= seen.since + wish.timeout;
  } else if (name == "InvalidDependency") {
    right = seen.invalid && task == submitted_;
  } else if (name == "ImpossibleDependency") {
    right = seen.phase == Phase::waiting &&
            (standing(task) == Standing::impossible || !any_engine_for(task));
  }
  if (!right) {
    fail(task, "failed with " + name + " (" + action.failure.evalue + "), which is not true");
  }
}

}  // namespace ipf::sim
