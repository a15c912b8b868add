#include "sim/workload.hpp"

#include <algorithm>
#include <utility>

#include "sim/names.hpp"

namespace ipf::sim {

namespace {

constexpr std::size_t recent_max = 32;

DependencySpec spec_of(const SimDependency& dependency) {
  DependencySpec out{.msg_ids = {},
                     .all = dependency.all,
                     .success = dependency.success,
                     .failure = dependency.failure};
  for (const auto task : dependency.tasks) {
    out.msg_ids.push_back(task_name(task));
  }
  return out;
}

}  // namespace

ResourceMap capacity_of(std::uint32_t engine) {
  switch (engine % 3) {
    case 1:
      return {{"gpu", 1.0 + engine % 2}};
    case 2:
      return {{"gpu", 2.0}, {"mem", 4.0}};
    default:
      return {};
  }
}

ResourceMap full_capacity() {
  return {{"gpu", 2.0}, {"mem", 4.0}};
}

/// Mostly tasks that the same client sent before; a bad one is not known to anybody.
void TaskBook::draw_dependency(SimDependency& out, std::uint32_t client, bool follow) {
  const auto& mine = recent_[client];
  if (mine.empty()) {
    return;
  }
  const auto count = 1 + rng_.below(follow ? 2 : 3);
  for (std::uint64_t i = 0; i < count; ++i) {
    out.tasks.push_back(mine[rng_.below(mine.size())]);
  }
  std::sort(out.tasks.begin(), out.tasks.end());
  out.tasks.erase(std::unique(out.tasks.begin(), out.tasks.end()), out.tasks.end());
  if (chance(options_.bad_dependency_rate)) {
    out.tasks.push_back(rng_.below(2) == 0 ? size() : size() + 1'000'000'000);  // itself, unknown
  }
  out.all = rng_.below(3) != 0;
  if (rng_.below(3) == 0) {
    out.failure = true;
    out.success = rng_.below(2) == 0;
  }
}

std::uint32_t TaskBook::invent(std::uint32_t client, std::uint32_t engines) {
  Wish wish;
  bool special = false;
  const auto draw = [&](double rate) {
    const bool hit = chance(rate);
    special = special || hit;
    return hit;
  };
  recent_.resize(std::max<std::size_t>(recent_.size(), client + 1));
  if (draw(options_.after_rate)) {
    draw_dependency(wish.after, client, false);
  }
  if (draw(options_.follow_rate)) {
    draw_dependency(wish.follow, client, true);
  }
  if (draw(options_.target_rate)) {
    const auto count = 1 + rng_.below(3);
    for (std::uint64_t i = 0; i < count; ++i) {
      wish.targets.push_back(static_cast<std::uint32_t>(rng_.below(engines)));
    }
  }
  if (draw(options_.retry_rate)) {
    wish.retries = 1 + static_cast<int>(rng_.below(4));
  }
  if (draw(options_.priority_rate)) {
    wish.priority = static_cast<int>(rng_.below(5)) - 2;
  }
  if (draw(options_.timeout_rate)) {
    wish.timeout = options_.busy * static_cast<std::int64_t>(1 + rng_.below(40));
  }
  if (draw(options_.run_timeout_rate)) {
    wish.run_timeout = options_.busy * static_cast<std::int64_t>(1 + rng_.below(10)) / 2;
  }
  if (draw(options_.resource_rate)) {
    wish.resources["gpu"] = 0.5 * static_cast<double>(1 + rng_.below(4));
    if (rng_.below(2) == 0) {
      wish.resources["mem"] = 0.25 * static_cast<double>(1 + rng_.below(16));
    }
  }
  wish.kills = draw(options_.kill_rate);
  TaskPlan plan{.client = client, .sent_twice = chance(options_.twice_rate), .wish = {}};
  if (special) {
    plan.wish = std::make_unique<Wish>(std::move(wish));
  }
  const auto task = add(std::move(plan));
  if (!plans_[task].sent_twice) {  // a second one under the same name has another outcome
    auto& mine = recent_[client];
    if (mine.size() < recent_max) {
      mine.push_back(task);
    } else {
      mine[rng_.below(recent_max)] = task;
    }
  }
  return task;
}

std::uint32_t TaskBook::repeat(std::uint32_t task) {
  TaskPlan plan{.client = plans_[task].client, .sent_twice = false, .wish = {}};
  if (plans_[task].wish) {
    plan.wish = std::make_unique<Wish>(*plans_[task].wish);
  }
  return add(std::move(plan));
}

std::uint32_t TaskBook::add(TaskPlan plan) {
  plans_.push_back(std::move(plan));
  return size() - 1;
}

TaskOptions TaskBook::options_of(std::uint32_t task) const {
  TaskOptions out;
  if (plain(task)) {
    return out;
  }
  const Wish& wish = *plans_[task].wish;
  out.after = spec_of(wish.after);
  out.follow = spec_of(wish.follow);
  for (const auto engine : wish.targets) {
    out.targets.push_back(engine_name(engine));
  }
  out.timeout_seconds = std::chrono::duration<double>(wish.timeout).count();
  out.retries = wish.retries;
  out.priority = wish.priority;
  out.run_timeout_seconds = std::chrono::duration<double>(wish.run_timeout).count();
  out.resources = wish.resources;
  return out;
}

std::string TaskBook::wish_text(std::uint32_t task) const {
  if (task >= plans_.size() || plain(task)) {
    return {};
  }
  const Wish& wish = *plans_[task].wish;
  std::string out;
  const auto list = [&](const char* name, const std::vector<std::uint32_t>& numbers) {
    out += numbers.empty() ? "" : std::string(" ") + name;
    for (const auto number : numbers) {
      out += " " + std::to_string(number);
    }
  };
  const auto dependency = [&](const char* name, const SimDependency& on) {
    list(name, on.tasks);
    if (!on.tasks.empty()) {
      out += std::string(on.all ? " all" : " any") + (on.success ? " success" : "") +
             (on.failure ? " failure" : "");
    }
  };
  dependency("after", wish.after);
  dependency("follow", wish.follow);
  list("targets", wish.targets);
  out += " retries " + std::to_string(wish.retries);
  for (const auto& [name, amount] : wish.resources) {
    out += " " + name + " " + std::to_string(amount);
  }
  out += wish.kills ? " kills" : "";
  return out;
}

}  // namespace ipf::sim
