#include "launcher/local.hpp"

#include <algorithm>
#include <csignal>
#include <unistd.h>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/text.hpp"

namespace ipf {

namespace {

using nlohmann::json;

Result<Process> spawn(const LaunchOptions& options, const std::filesystem::path& output_file) {
  ProcessOptions process{.argv = options.command,
                         .environment = cluster_environment(options.paths),
                         .output_file = output_file,
                         .work_dir = options.work_dir};
  process.argv.insert(process.argv.end(), options.args.begin(), options.args.end());
  return Process::spawn(process);
}

/// Reports an exit once and ends what the process may have left in its group.
void poll_process(Process& process,
                  bool& reported,
                  int index,
                  const std::filesystem::path& output_file,
                  std::vector<LaunchExit>& ended) {
  if (reported) {
    return;
  }
  if (const auto status = process.poll()) {
    reported = true;
    process.signal_group(SIGTERM);
    ended.push_back({index, process.pid(), *status, output_file});
  }
}

void stop_process(Process& process, StopLevel level) {
  if (level == StopLevel::kill) {
    process.signal_group(SIGKILL);
  } else {
    process.signal(SIGTERM);
  }
}

json base_state(const LaunchOptions& options) {
  return {{"cluster_id", options.paths.cluster_id},
          {"profile_dir", options.paths.dir.string()},
          {"state", "running"}};
}

std::string dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace

LocalControllerLauncher::LocalControllerLauncher(LaunchOptions options)
    : options_(std::move(options)),
      output_file_(options_.paths.log() / ("ipcontroller" + options_.paths.dashed_id() + "-" +
                                           std::to_string(getpid()) + ".log")) {}

Result<void> LocalControllerLauncher::start() {
  Result<Process> process = spawn(options_, output_file_);
  if (!process) {
    return unexpected(process.error());
  }
  process_ = std::move(*process);
  return {};
}

void LocalControllerLauncher::poll(std::vector<LaunchExit>& ended) {
  if (process_) {
    poll_process(*process_, exit_reported_, 0, output_file_, ended);
  }
}

bool LocalControllerLauncher::running() {
  return process_ && process_->group_running();
}

void LocalControllerLauncher::signal(int number) {
  if (process_) {
    process_->signal(number);
  }
}

void LocalControllerLauncher::stop(StopLevel level) {
  if (process_) {
    stop_process(*process_, level);
  }
}

LauncherState LocalControllerLauncher::state() const {
  LauncherState out{.kind = "local"};
  if (process_ && !exit_reported_) {
    json state = base_state(options_);
    state["output_file"] = output_file_.string();
    state["pid"] = process_->pid();
    out.state_json = dump(state);
    out.processes.push_back({process_->pid(), process_->start_ticks()});
  }
  return out;
}

std::vector<std::filesystem::path> LocalControllerLauncher::output_files() const {
  return {output_file_};
}

std::filesystem::path LocalEngineSetLauncher::output_file(const std::string& index) const {
  return options_.paths.log() /
         ("ipengine-" + options_.paths.cluster_id + "-" + options_.set_id + "-" + index + ".log");
}

void LocalEngineSetLauncher::start_fork_server() {
  constexpr std::size_t name_bytes = 16;
  const std::string name = "ipyfleet-forks-" + random_hex(name_bytes);
  LaunchOptions server = options_;
  server.args = options_.fork_server_args;
  server.args.push_back("--fork-server=" + name);
  Result<Process> process = spawn(server, output_file("fork-server"));
  if (process) {  // else: engines start without it
    fork_server_ = std::move(*process);
    options_.args.push_back("--fork-from=" + name);
  }
}

Result<void> LocalEngineSetLauncher::start(int engines) {
  if (options_.fork_server && engines > 1) {
    start_fork_server();
  }
  for (int i = 0; i < engines; ++i) {
    const auto file = output_file(std::to_string(i));
    Result<Process> process = spawn(options_, file);
    if (!process) {
      return unexpected(process.error());
    }
    engines_.push_back({std::move(*process), file});
  }
  return {};
}

void LocalEngineSetLauncher::poll(std::vector<LaunchExit>& ended) {
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    Engine& engine = engines_[i];
    poll_process(engine.process, engine.exit_reported, static_cast<int>(i), engine.output_file,
                 ended);
  }
}

bool LocalEngineSetLauncher::running() {
  if (fork_server_ && !fork_server_->poll()) {
    return true;
  }
  return std::ranges::any_of(engines_,
                             [](Engine& engine) { return engine.process.group_running(); });
}

void LocalEngineSetLauncher::signal(int number) {
  for (Engine& engine : engines_) {
    engine.process.signal(number);
  }
}

void LocalEngineSetLauncher::stop(StopLevel level) {
  for (Engine& engine : engines_) {
    stop_process(engine.process, level);
  }
  if (fork_server_) {  // after SIGTERM it waits for the nannies to end
    stop_process(*fork_server_, level);
  }
}

LauncherState LocalEngineSetLauncher::state() const {
  LauncherState out{.kind = "local"};
  json engines = json::object();
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    const Engine& engine = engines_[i];
    if (engine.exit_reported) {
      continue;
    }
    json state = base_state(options_);
    state["n"] = 1;
    state["output_file"] = engine.output_file.string();
    state["pid"] = engine.process.pid();
    engines[std::to_string(i)] = std::move(state);
    out.processes.push_back({engine.process.pid(), engine.process.start_ticks()});
  }
  if (fork_server_ && !engines.empty()) {
    out.processes.push_back({fork_server_->pid(), fork_server_->start_ticks()});
  }
  if (!engines.empty()) {
    out.engines = static_cast<int>(engines.size());
    json state = base_state(options_);
    state["n"] = out.engines;
    state["pid"] = -1;
    state["engines"] = std::move(engines);
    out.state_json = dump(state);
  }
  return out;
}

std::vector<std::filesystem::path> LocalEngineSetLauncher::output_files() const {
  std::vector<std::filesystem::path> out;
  for (const Engine& engine : engines_) {
    out.push_back(engine.output_file);
  }
  if (fork_server_) {
    out.push_back(output_file("fork-server"));
  }
  return out;
}

}  // namespace ipf
