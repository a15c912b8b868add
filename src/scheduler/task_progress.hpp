#pragma once

#include <string>
#include <vector>

#include "scheduler/task_key.hpp"

namespace ipf {

/// What an unfinished task has behind it. Keys are those of the machine that made them; one with
/// the same seed understands them.
struct TaskProgress {
  int retries_left{};
  std::vector<EngineKey> excluded{};  ///< where it failed, was unmet or could not be handed over
  std::vector<EngineKey> stale{};     ///< frozen engines that still have a copy of it
  std::vector<std::string> killed{};  ///< engines that died while they ran it
};

}  // namespace ipf
