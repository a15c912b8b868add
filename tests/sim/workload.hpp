#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/rng.hpp"
#include "protocol/header_reader.hpp"
#include "sim/sim_options.hpp"

namespace ipf::sim {

/// `after` or `follow` of a simulated task.
struct SimDependency {
  std::vector<std::uint32_t> tasks{};
  bool all{true};
  bool success{true};
  bool failure{false};
};

/// What a task asks for beyond "run me".
struct Wish {
  SimDependency after{};
  SimDependency follow{};
  std::vector<std::uint32_t> targets{};
  int retries{0};
  int priority{0};
  Duration timeout{};
  Duration run_timeout{};
  ResourceMap resources{};
  bool kills{false};  ///< whoever runs it dies

  [[nodiscard]] bool restricted_from_start() const {
    return !targets.empty() || !follow.tasks.empty();
  }
};

struct TaskPlan {
  std::uint32_t client{};
  bool sent_twice{false};
  std::unique_ptr<Wish> wish{};  ///< nullptr: nothing special
};

/// The truth about all tasks: the clients make it, the checkers read it.
class TaskBook {
 public:
  TaskBook(const SimOptions& options, Rng rng) : options_(options), rng_(rng) {}

  /// A new task, drawn from the options. `engines` have been there so far.
  std::uint32_t invent(std::uint32_t client, std::uint32_t engines);
  /// A task that asks for the same as another one.
  std::uint32_t repeat(std::uint32_t task);
  std::uint32_t add(TaskPlan plan);

  [[nodiscard]] const TaskPlan& plan(std::uint32_t task) const { return plans_[task]; }
  [[nodiscard]] const Wish& wish(std::uint32_t task) const {
    return plans_[task].wish ? *plans_[task].wish : plain_;
  }
  [[nodiscard]] bool plain(std::uint32_t task) const { return plans_[task].wish == nullptr; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(plans_.size()); }
  /// What it asks for, as text; empty when nothing special.
  [[nodiscard]] std::string wish_text(std::uint32_t task) const;
  [[nodiscard]] TaskOptions options_of(std::uint32_t task) const;

 private:
  [[nodiscard]] bool chance(double rate) { return rate > 0 && rng_.unit() < rate; }
  void draw_dependency(SimDependency& out, std::uint32_t client, bool follow);

  const SimOptions& options_;
  Rng rng_;
  std::vector<TaskPlan> plans_;
  std::vector<std::vector<std::uint32_t>> recent_;  ///< of each client
  const Wish plain_{};
};

/// What an engine with this number has; every third one has none.
ResourceMap capacity_of(std::uint32_t engine);
/// The largest amounts that a task may ask for fit on this one.
ResourceMap full_capacity();

}  // namespace ipf::sim
