#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "sim/names.hpp"
#include "sim/task_checker.hpp"

namespace ipf::sim {

/// Watches the hub: keeps who is here and which task is where in plain tables and compares them
/// with what the hub's machine says to clients. Throws SimFailure.
class HubChecker {
 public:
  void see(const HubEvent& event);
  void see(const HubAction& action);
  /// Compares the counts.
  void compare(const HubMachine& machine) const;
  /// The answer to a queue_request for all engines.
  void check_queue_reply(const std::string& content) const;
  void restart();

  [[nodiscard]] bool pending(std::uint32_t task) const;
  [[nodiscard]] std::size_t pending_count() const { return pending_; }

 private:
  enum class Place : std::uint8_t { unknown, unassigned, on_engine, done };
  struct TaskView {
    Place place{Place::unknown};
    std::uint32_t engine{none};
  };
  struct EngineView {
    EngineId id{};
    std::vector<std::uint32_t> tasks{};
    std::size_t completed{};
  };

  void put(std::uint32_t task, const std::string& engine_uuid);
  void take(std::uint32_t task);
  TaskView& view(std::uint32_t task);

  std::vector<TaskView> tasks_;
  std::unordered_map<std::uint32_t, EngineView> engines_;  ///< the active ones
  std::unordered_set<std::int32_t> ids_;
  std::size_t pending_{};
  std::size_t unassigned_{};
};

/// What the store must hold of a task that ended.
void check_record(const DictStore& store, std::uint32_t task, const TaskChecker::Ending& ending);

}  // namespace ipf::sim
