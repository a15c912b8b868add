#include "launcher/remote_parts.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace ipf {

namespace {

constexpr Duration step = std::chrono::milliseconds{20};
constexpr Duration kill_wait = std::chrono::seconds{5};

}  // namespace

RemoteParts::RemoteParts(const ClusterRecord& record) {
  const auto add = [this](LauncherRole role, const LauncherState& state) {
    if (runs_elsewhere(state.kind) && !state.state_json.empty()) {
      auto launcher = restore_launcher(role, state.kind, state.state_json, {});
      if (launcher) {
        launchers_.push_back(std::move(*launcher));
      } else if (launcher.error().code != ErrorCode::not_found) {
        failure_ = launcher.error().message;
      }
    }
  };
  add(LauncherRole::controller, record.controller);
  for (const auto& [id, set] : record.engine_sets) {
    add(LauncherRole::engines, set);
  }
}

bool RemoteParts::poll() {
  std::vector<LaunchExit> ended;
  for (const auto& launcher : launchers_) {
    launcher->poll(ended);
  }
  std::erase_if(launchers_, [](const auto& launcher) { return !launcher->running(); });
  return !launchers_.empty();
}

bool RemoteParts::run(Duration limit) {
  const TimePoint deadline = steady_now() + limit;
  while (poll()) {
    const bool known = std::ranges::any_of(
        launchers_, [](const auto& launcher) { return launcher->state_version() > 0; });
    if (known || steady_now() >= deadline) {
      return true;
    }
    std::this_thread::sleep_for(step);
  }
  return !failure_.empty();
}

bool RemoteParts::stop(Duration limit, Log& log) {
  for (const StopLevel level : {StopLevel::graceful, StopLevel::kill}) {
    for (const auto& launcher : launchers_) {
      if (const Result<void> stopped = launcher->stop(level); !stopped) {
        log.warning(stopped.error().message);
      }
    }
    const TimePoint deadline = steady_now() + (level == StopLevel::graceful ? limit : kill_wait);
    while (poll()) {
      if (steady_now() >= deadline) {
        break;
      }
      std::this_thread::sleep_for(step);
    }
    if (launchers_.empty() && failure_.empty()) {
      return true;
    }
  }
  if (!failure_.empty()) {
    log.warning(failure_);
  }
  for (const auto& launcher : launchers_) {
    for (const std::string& text : launcher->take_warnings()) {
      log.warning(text);
    }
  }
  return false;
}

}  // namespace ipf
