#include "launcher/local.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/text.hpp"
#include "launcher/launcher_settings.hpp"

namespace ipf {

using nlohmann::json;

LocalLauncher::LocalLauncher(LauncherRole role, LaunchOptions options, Duration delay)
    : role_(role), options_(std::move(options)), delay_(delay) {}

std::string LocalLauncher::class_name() const {
  return launcher_class_name("Local", role_);
}

void LocalLauncher::start_fork_server() {
  constexpr std::size_t name_bytes = 16;
  const std::string name = "ipyfleet-forks-" + random_hex(name_bytes);
  LaunchOptions server = options_;
  server.args = options_.fork_server_args;
  server.args.push_back("--fork-server=" + name);
  Result<Process> process = spawn_launched(server, engine_log(options_, "fork-server"));
  if (process) {  // else: engines start without it
    fork_server_ = std::move(*process);
    options_.args.push_back("--fork-from=" + name);
  }
}

Result<void> LocalLauncher::start(int engines) {
  if (role_ == LauncherRole::controller) {
    return table_.spawn(0, options_, controller_log(options_));
  }
  if (options_.fork_server && engines > 1) {
    start_fork_server();
  }
  wanted_ = engines;
  do {
    if (const Result<void> next = start_next(); !next) {
      wanted_ = started_;  // the rest is not tried
      return next;
    }
  } while (delay_ == Duration{0} && started_ < wanted_);
  return {};
}

Result<void> LocalLauncher::start_next() {
  if (started_ >= wanted_) {
    return {};
  }
  next_start_ = steady_now() + delay_;
  const int index = started_++;
  return table_.spawn(index, options_, engine_log(options_, std::to_string(index)));
}

Result<void> LocalLauncher::restart(int index) {
  const Result<std::filesystem::path> file = table_.forget_ended(index);
  if (!file) {
    return unexpected(file.error());
  }
  state_changed();
  return table_.spawn(index, options_, *file);
}

void LocalLauncher::poll(std::vector<LaunchExit>& ended) {
  if (started_ < wanted_ && steady_now() >= next_start_) {
    const int index = started_;
    if (const Result<void> next = start_next(); !next) {
      ended.push_back({.index = index,
                       .pid = 0,
                       .status = {.code = 127},
                       .output_file = engine_log(options_, std::to_string(index)),
                       .detail = next.error().message});
    }
    state_changed();
  }
  table_.poll(ended);
}

Duration LocalLauncher::poll_step() const {
  return started_ < wanted_ ? std::max(next_start_ - steady_now(), Duration{0})
                            : Launcher::poll_step();
}

bool LocalLauncher::running() {
  return (fork_server_ && !fork_server_->poll()) || started_ < wanted_ || table_.running();
}

Result<void> LocalLauncher::signal(int number, std::optional<int> index) {
  return table_.signal(number, index);
}

Result<void> LocalLauncher::stop(StopLevel level, std::optional<int> index) {
  if (!index) {
    wanted_ = started_;
  }
  const Result<void> stopped = table_.stop(level, index);
  if (fork_server_ && !index) {  // after SIGTERM it waits for the nannies to end
    if (level == StopLevel::kill) {
      fork_server_->signal_group(SIGKILL);
    } else {
      fork_server_->signal(SIGTERM);
    }
  }
  return stopped;
}

LauncherState LocalLauncher::state() const {
  LauncherState out{.kind = "local"};
  json engines = json::object();
  for (const ProcessTable::Entry& entry : table_.entries()) {
    if (entry.exit_reported) {
      continue;
    }
    json state = process_state(options_, entry);
    out.processes.push_back(entry.process.id());
    if (role_ == LauncherRole::controller) {
      out.state_json = dump_state(state);
      return out;
    }
    state["n"] = 1;
    engines[std::to_string(entry.index)] = std::move(state);
  }
  if (fork_server_ && !engines.empty()) {
    out.processes.push_back({fork_server_->pid(), fork_server_->start_ticks()});
  }
  if (!engines.empty()) {
    out.engines = static_cast<int>(engines.size());
    out.state_json = set_state(options_, out.engines, std::move(engines));
  }
  return out;
}

Result<void> LocalLauncher::restore(const std::string& state_json) {
  const json state = json::parse(state_json, nullptr, false);
  if (role_ == LauncherRole::controller) {
    if (auto entry = restored_entry(0, state, options_.paths)) {
      table_.add(std::move(*entry));
    }
  } else if (const auto engines = state.find("engines"); engines != state.end()) {
    for (const auto& [key, engine] : engines->items()) {
      int index = 0;
      std::from_chars(key.data(), key.data() + key.size(), index);
      if (auto entry = restored_entry(index, engine, options_.paths)) {
        table_.add(std::move(*entry));
        started_ = wanted_ = std::max(wanted_, index + 1);
      }
    }
  }
  if (table_.entries().empty()) {
    return nothing_runs(class_name());
  }
  return {};
}

std::vector<std::filesystem::path> LocalLauncher::output_files() const {
  std::vector<std::filesystem::path> out = table_.output_files();
  if (fork_server_) {
    out.push_back(engine_log(options_, "fork-server"));
  }
  return out;
}

Result<std::unique_ptr<Launcher>> make_local_launcher(LauncherRole role, LaunchOptions options) {
  LauncherSettings settings(launcher_class_name("Local", role), options.settings_json);
  settings.read_common(role, options);
  double delay = 0;
  if (role == LauncherRole::engines) {
    settings.read("delay", delay);
  }
  IPF_TRY(settings.finish());
  return std::unique_ptr<Launcher>{std::make_unique<LocalLauncher>(
      role, std::move(options),
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(delay)))};
}

}  // namespace ipf
