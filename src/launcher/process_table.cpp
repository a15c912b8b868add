#include "launcher/process_table.hpp"

#include <algorithm>
#include <csignal>
#include <unistd.h>
#include <utility>

#include "core/process_info.hpp"
#include "launcher/cluster_status.hpp"

namespace ipf {

using nlohmann::json;

namespace {

ClusterRecord record_of(const ProfilePaths& paths) {
  ClusterRecord out;
  out.cluster_id = paths.cluster_id;
  out.profile_dir = paths.dir.string();
  return out;
}

}  // namespace

LaunchedProcess::LaunchedProcess(ProcessId foreign, const ProfilePaths& paths)
    : process_(Foreign{.id = foreign, .paths = paths, .ended = false}) {}

ProcessId LaunchedProcess::id() const {
  if (const auto* child = std::get_if<Process>(&process_)) {
    return {child->pid(), child->start_ticks()};
  }
  return std::get<Foreign>(process_).id;
}

std::optional<ExitStatus> LaunchedProcess::poll() {
  if (auto* child = std::get_if<Process>(&process_)) {
    return child->poll();
  }
  auto& foreign = std::get<Foreign>(process_);
  foreign.ended = foreign.ended || !process_alive(foreign.id.pid, foreign.id.start_ticks);
  return foreign.ended ? std::optional{ExitStatus{.code = 0, .signal = 0, .known = false}}
                       : std::nullopt;
}

void LaunchedProcess::signal(int number) {
  if (auto* child = std::get_if<Process>(&process_)) {
    child->signal(number);
  } else {
    signal_process(std::get<Foreign>(process_).id, number);
  }
}

std::vector<pid_t> LaunchedProcess::members(const Foreign& foreign) {
  std::vector<pid_t> out = group_members(foreign.id.pid);
  const bool leads = process_alive(foreign.id.pid, foreign.id.start_ticks);
  const ClusterRecord record = record_of(foreign.paths);
  if (!leads &&
      std::ranges::none_of(out, [&](pid_t pid) { return belongs_to_cluster(pid, record); })) {
    out.clear();
  }
  return out;
}

void LaunchedProcess::signal_group(int number) {
  if (const auto* child = std::get_if<Process>(&process_)) {
    child->signal_group(number);
    return;
  }
  const auto& foreign = std::get<Foreign>(process_);
  signal_process(foreign.id, number);
  for (const pid_t pid : members(foreign)) {
    if (pid != foreign.id.pid) {
      kill(pid, number);
    }
  }
}

bool LaunchedProcess::group_running() {
  if (auto* child = std::get_if<Process>(&process_)) {
    return child->group_running();
  }
  return !poll() || !members(std::get<Foreign>(process_)).empty();
}

Result<void> ProcessTable::spawn(int index,
                                 const LaunchOptions& options,
                                 const std::filesystem::path& output_file) {
  Result<Process> process = spawn_launched(options, output_file);
  if (!process) {
    return unexpected(process.error());
  }
  entries_.push_back({.index = index,
                      .process = LaunchedProcess(std::move(*process)),
                      .output_file = output_file,
                      .exit_reported = false});
  return {};
}

void ProcessTable::poll(std::vector<LaunchExit>& ended) {
  for (Entry& entry : entries_) {
    if (entry.exit_reported) {
      continue;
    }
    if (const auto status = entry.process.poll()) {
      entry.exit_reported = true;
      entry.process.signal_group(SIGTERM);
      ended.push_back({.index = entry.index,
                       .pid = entry.process.id().pid,
                       .status = *status,
                       .output_file = entry.output_file});
    }
  }
}

bool ProcessTable::running() {
  return std::ranges::any_of(entries_, [](Entry& entry) { return entry.process.group_running(); });
}

template <class Action>
Result<void> ProcessTable::for_each(std::optional<int> index, Action action) {
  bool found = !index;
  for (Entry& entry : entries_) {
    if (!index || entry.index == *index) {
      action(entry.process);
      found = true;
    }
  }
  if (!found) {
    return unexpected(ErrorCode::not_found,
                      "there is no engine " + std::to_string(*index) + " in this set");
  }
  return {};
}

Result<void> ProcessTable::signal(int number, std::optional<int> index) {
  return for_each(index, [number](LaunchedProcess& process) { process.signal(number); });
}

Result<void> ProcessTable::stop(StopLevel level, std::optional<int> index) {
  return for_each(index, [level](LaunchedProcess& process) {
    if (level == StopLevel::kill) {
      process.signal_group(SIGKILL);
    } else {
      process.signal(SIGTERM);
    }
  });
}

Result<std::filesystem::path> ProcessTable::forget_ended(int index) {
  const auto entry = std::ranges::find(entries_, index, &Entry::index);
  if (entry == entries_.end()) {
    return unexpected(ErrorCode::not_found,
                      "there is no engine " + std::to_string(index) + " in this set");
  }
  if (!entry->exit_reported) {
    return unexpected(
        ErrorCode::unavailable,
        "engine " + std::to_string(index) + " still runs; stop it and wait for its end first");
  }
  std::filesystem::path file = std::move(entry->output_file);
  entries_.erase(entry);
  return file;
}

std::vector<std::filesystem::path> ProcessTable::output_files() const {
  std::vector<std::filesystem::path> out;
  for (const Entry& entry : entries_) {
    out.push_back(entry.output_file);
  }
  return out;
}

Result<Process> spawn_launched(const LaunchOptions& options,
                               const std::filesystem::path& output_file) {
  ProcessOptions process{.argv = options.command,
                         .environment = cluster_environment(options),
                         .output_file = output_file,
                         .work_dir = options.work_dir};
  process.argv.insert(process.argv.end(), options.args.begin(), options.args.end());
  return Process::spawn(process);
}

json base_state(const LaunchOptions& options) {
  return {{"cluster_id", options.paths.cluster_id},
          {"profile_dir", options.paths.dir.string()},
          {"state", "running"}};
}

std::string set_state(const LaunchOptions& options, int engines, json by_index) {
  json state = base_state(options);
  state["n"] = engines;
  state["pid"] = -1;
  state["engines"] = std::move(by_index);
  return dump_state(state);
}

json process_state(const LaunchOptions& options, const ProcessTable::Entry& entry) {
  json out = base_state(options);
  const ProcessId id = entry.process.id();
  out["output_file"] = entry.output_file.string();
  out["pid"] = id.pid;
  out["start"] = id.start_ticks;
  return out;
}

std::optional<ProcessTable::Entry> restored_entry(int index,
                                                  const json& state,
                                                  const ProfilePaths& paths) {
  const auto pid = state.find("pid");
  if (pid == state.end() || !pid->is_number_integer() || pid->get<int>() <= 0) {
    return std::nullopt;
  }
  const auto start = state.find("start");
  ProcessId id{pid->get<int>(), start != state.end() && start->is_number_unsigned()
                                    ? start->get<std::uint64_t>()
                                    : 0};
  if (!is_recorded_process(id, record_of(paths))) {
    return std::nullopt;
  }
  id.start_ticks = process_start_ticks(id.pid);
  const auto file = state.find("output_file");
  return ProcessTable::Entry{.index = index,
                             .process = LaunchedProcess(id, paths),
                             .output_file = file != state.end() && file->is_string()
                                                ? file->get<std::string>()
                                                : std::string{},
                             .exit_reported = false};
}

std::string dump_state(const json& state) {
  return state.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::filesystem::path engine_log(const LaunchOptions& options, const std::string& suffix) {
  return options.paths.log() /
         ("ipengine-" + options.paths.cluster_id + "-" + options.set_id + "-" + suffix + ".log");
}

std::filesystem::path controller_log(const LaunchOptions& options) {
  return options.paths.log() /
         ("ipcontroller" + options.paths.dashed_id() + "-" + std::to_string(getpid()) + ".log");
}

Unexpected nothing_runs(const std::string& class_name) {
  return unexpected(ErrorCode::not_found,
                    "nothing that the recorded " + class_name + " started runs any more");
}

}  // namespace ipf
