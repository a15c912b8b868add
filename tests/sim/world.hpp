#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/rng.hpp"
#include "sim/event_queue.hpp"
#include "sim/sim_options.hpp"
#include "sim/trace.hpp"
#include "sim/workload.hpp"

namespace ipf::sim {

/// How often each task began to run, on all engines together.
class RunBook {
 public:
  void begin(std::uint32_t task, bool has_retries) {
    runs_.resize(std::max<std::size_t>(runs_.size(), task + 1));
    if (runs_[task].begun && !runs_[task].again && !has_retries) {
      throw SimFailure("task " + std::to_string(task) + " runs a second time");
    }
    runs_[task].begun = true;
  }
  /// It had no effect there: its dependencies were unmet, or it was moved to another engine.
  void allow_again(std::uint32_t task) {
    runs_.resize(std::max<std::size_t>(runs_.size(), task + 1));
    runs_[task].again = true;
  }

 private:
  struct Runs {
    bool begun{false};
    bool again{false};
  };
  std::vector<Runs> runs_;
};

/// What all parts of one run share. Each kind of chance has a generator of its own, so that a
/// change of one does not change all others.
struct World {
  explicit World(const SimOptions& given)
      : options(given),
        network(given.seed ^ 0x6E657477ULL),
        behaviour(given.seed ^ 0x62656861ULL),
        faults(given.seed ^ 0x6661756CULL),
        trace(given.verbose),
        book(options, Rng(given.seed ^ 0x626F6F6BULL)) {}

  [[nodiscard]] TimePoint now() const { return queue.now(); }
  /// 2026-11-21 and what has passed.
  [[nodiscard]] WallTime wall() const {
    return {1'795'000'000'000'000 + queue.now().nanoseconds / 1000};
  }
  void note(const char* what, std::uint32_t task = none, std::uint32_t engine = none) {
    trace.note(queue.now(), what, task, engine);
  }

  const SimOptions options;
  EventQueue queue{};
  Rng network;
  Rng behaviour;
  Rng faults;
  Trace trace;
  TaskBook book;
  RunBook runs{};
  bool draining{false};  ///< no more faults: what is left must end
};

/// Random with this mean, at most three times of it.
inline Duration around(Rng& rng, Duration mean) {
  double sum = 0;
  for (int i = 0; i < 2; ++i) {
    const double unit = rng.unit();
    sum += unit * unit * 1.5;
  }
  return Duration{static_cast<std::int64_t>(sum * static_cast<double>(mean.count()))};
}

}  // namespace ipf::sim
