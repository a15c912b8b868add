#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/message.hpp"
#include "scheduler/dependency_graph.hpp"
#include "scheduler/load_scheme.hpp"
#include "scheduler/task_key.hpp"
#include "scheduler/wait_queue.hpp"

/// What the task machine keeps of a task and of an engine. Used by the machine's files only.
namespace ipf {

enum class TaskState : std::uint8_t { gone, blocked, waiting, running, orphaned, abandoned };

/// How far a run limit is: the clock runs, SIGINT was sent, SIGKILL was sent.
enum class RunPhase : std::uint8_t { untimed, timed, interrupted, killed };

/// All unfinished tasks that need the same resources, and those of them that may run anywhere.
struct ResourceShape {
  const ResourceMap* need{};  ///< the key of the map that this is in
  WaitQueue queue{};
  std::size_t tasks{};
};

struct ScheduledTask : Waiter, DependencyNode {
  std::string msg_id{};
  TaskKey key{};
  std::optional<Message> request{};
  TaskState state{TaskState::gone};
  RunPhase phase{RunPhase::untimed};
  bool noted{false};        ///< the hub has seen the request
  bool started{false};      ///< the engine was seen to begin with it
  bool sent_before{false};  ///< an earlier controller sent it to the engine, which may have begun
  bool blamed{false};       ///< orphaned: it was what its engine ran when it died
  bool has_targets{false};
  bool has_follow{false};
  int retries_left{};
  EngineSlot engine{};        ///< while running or abandoned
  EngineKey engine_key{};     ///< while running, orphaned or abandoned; else 0
  ScheduledTask* older{};     ///< neighbours in the order of hand-over to the engine
  ScheduledTask* newer{};     ///< .
  std::string lost_engine{};  ///< uuid, while orphaned
  ResourceShape* shape{};     ///< nullptr: needs no resources
  Duration timeout{};         ///< longest time in the queue; 0: none
  Duration run_timeout{};     ///< longest run time; 0: none
  TimePoint deadline{TimePoint::never()};
  TimePoint since{};                  ///< of the present state; while running: since it is its turn
  std::size_t follow_known{};         ///< how many of follow_engines its queue entries cover
  std::vector<EngineKey> targets{};   ///< sorted
  std::vector<EngineKey> excluded{};  ///< where it failed, was unmet or could not be handed over
  std::vector<EngineKey> stale{};     ///< frozen engines that still have a copy of it
  std::vector<std::string> killed{};  ///< engines that died while they ran it
  bool remembered{};  ///< some engine that gave it back would take a second copy for a replay
  /// The last failure, delivered if no engine is left to try the task again.
  std::optional<Message> last_reply{};

  [[nodiscard]] bool restricted() const { return has_targets || has_follow || !excluded.empty(); }
  [[nodiscard]] bool on_engine() const {
    return state == TaskState::running || state == TaskState::abandoned;
  }
  [[nodiscard]] bool may_use(EngineKey engine_asked) const {
    const auto contains = [engine_asked](const std::vector<EngineKey>& keys) {
      return std::find(keys.begin(), keys.end(), engine_asked) != keys.end();
    };
    return (!has_targets || std::binary_search(targets.begin(), targets.end(), engine_asked)) &&
           (!has_follow || contains(follow_engines)) && !contains(excluded);
  }
};

struct SchedulerEngine {
  std::string uuid{};
  EngineKey key{};
  bool alive{false};
  bool suspected{false};
  bool ending{false};  ///< the scheduler had it killed because of a run limit
  EngineLoad load{};
  ResourceMap capacity{};
  ResourceMap used{};       ///< by the tasks on it
  WaitQueue own_queue{};    ///< restricted tasks that may run here and need no resources
  WaitQueue own_shaped{};   ///< and those that need some
  WaitQueue too_large{};    ///< and those that need more than it has: its leaving concerns them
  ScheduledTask* oldest{};  ///< its tasks in the order of hand-over
  ScheduledTask* newest{};  ///< .

  /// Whether it has that much at all.
  [[nodiscard]] bool could_hold(const ResourceMap& need) const {
    return std::all_of(need.begin(), need.end(), [this](const auto& item) {
      const auto has = capacity.find(item.first);
      return has != capacity.end() && item.second <= has->second;
    });
  }
  /// Whether that much is free now. Sums of fractions may be off by some last bits.
  [[nodiscard]] bool can_hold_now(const ResourceMap& need) const {
    constexpr double rounding = 1e-9;
    return std::all_of(need.begin(), need.end(), [this](const auto& item) {
      const auto has = capacity.find(item.first);
      if (has == capacity.end()) {
        return false;
      }
      const auto taken = used.find(item.first);
      const double sum = item.second + (taken == used.end() ? 0.0 : taken->second);
      return sum <= has->second * (1 + rounding);
    });
  }
};

}  // namespace ipf
