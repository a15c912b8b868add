#include "launcher/cluster_status.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <fstream>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "core/file_io.hpp"
#include "core/process_info.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/pid_file.hpp"

namespace ipf {

namespace {

using nlohmann::json;

FileDescriptor open_pidfd(pid_t pid) {
  return FileDescriptor{static_cast<int>(syscall(SYS_pidfd_open, pid, 0))};
}

std::vector<ProcessId> running_ones(const std::vector<ProcessId>& recorded,
                                    const ClusterRecord& record) {
  std::vector<ProcessId> out;
  for (const ProcessId& process : recorded) {
    const std::uint64_t start = process_start_ticks(process.pid);
    if (start != 0 && is_recorded_process(process, record)) {
      out.push_back({process.pid, start});
    }
  }
  return out;
}

bool runs(const ProcessId& process) {
  return process_alive(process.pid, process.start_ticks);
}

}  // namespace

std::vector<ProcessId> ClusterStatus::all() const {
  std::vector<ProcessId> out = controller;
  out.insert(out.end(), engines.begin(), engines.end());
  if (ipcluster) {
    out.push_back(*ipcluster);
  }
  return out;
}

bool belongs_to_cluster(pid_t pid, const ClusterRecord& record) {
  const std::string text = '\0' + read_file("/proc/" + std::to_string(pid) + "/environ");
  const auto holds = [&text](const char* name, const std::string& value) {
    return text.find('\0' + std::string{name} + "=" + value + '\0') != std::string::npos;
  };
  return holds("IPP_PROFILE_DIR", record.profile_dir) && holds("IPP_CLUSTER_ID", record.cluster_id);
}

bool is_recorded_process(const ProcessId& process, const ClusterRecord& record) {
  if (process.start_ticks != 0) {
    return runs(process);
  }
  return runs(process) && belongs_to_cluster(process.pid, record);
}

ClusterStatus inspect(const ClusterRecord& record) {
  ClusterStatus out;
  if (record.machine) {
    const MachineId here = this_machine();
    const bool same_pids =
        record.machine->boot == here.boot && record.machine->pid_namespace == here.pid_namespace;
    if (!same_pids) {
      // The same host after a reboot: everything is gone. Another host: it may well run there.
      out.liveness = record.machine->host == here.host ? Liveness::stopped : Liveness::elsewhere;
      return out;
    }
  }
  out.controller = running_ones(record.controller.processes, record);
  for (const auto& [id, set] : record.engine_sets) {
    const auto found = running_ones(set.processes, record);
    out.engines.insert(out.engines.end(), found.begin(), found.end());
  }
  if (record.ipcluster && record.ipcluster->start_ticks != 0 && runs(*record.ipcluster)) {
    out.ipcluster = record.ipcluster;
  }
  out.remote_controller =
      runs_elsewhere(record.controller.kind) && !record.controller.state_json.empty();
  for (const auto& [id, set] : record.engine_sets) {
    out.remote_engines += runs_elsewhere(set.kind) ? set.engines : 0;
  }
  out.liveness = out.all().empty() && !out.only_remote() ? Liveness::stopped : Liveness::running;
  return out;
}

Result<KnownCluster> find_cluster(const ProfilePaths& paths) {
  const std::optional<pid_t> owner = PidFile::holder(paths.pid_file());
  Result<ClusterRecord> record = read_cluster_file(paths.cluster_file());
  if (!record && !(owner && record.error().code == ErrorCode::not_found)) {
    return unexpected(record.error());
  }
  KnownCluster out;
  if (record) {
    out.record = *record;
  } else {
    out.record.cluster_id = paths.cluster_id;
    out.record.profile_dir = paths.dir.string();
  }
  out.status = inspect(out.record);
  if (owner && out.status.liveness != Liveness::elsewhere) {
    out.status.ipcluster = ProcessId{*owner, process_start_ticks(*owner)};
    out.status.liveness = Liveness::running;
  }
  return out;
}

Result<std::string> living_cluster_json(const std::filesystem::path& file) {
  const Result<ClusterRecord> record = read_cluster_file(file);
  if (!record) {
    return unexpected(record.error());
  }
  std::ifstream in(file, std::ios::binary);
  json out = json::parse(in, nullptr, false);
  if (!out.is_object()) {
    return unexpected(ErrorCode::malformed, file.string() + " is not a cluster file");
  }
  const ClusterStatus status = inspect(*record);
  if (status.liveness != Liveness::elsewhere) {
    const auto ended = [](const LauncherState& state, const std::vector<ProcessId>& living) {
      return !state.processes.empty() &&
             std::ranges::none_of(state.processes, [&living](const ProcessId& process) {
               return std::ranges::find(living, process.pid, &ProcessId::pid) != living.end();
             });
    };
    if (ended(record->controller, status.controller)) {
      out.erase("controller");
    }
    for (const auto& [id, set] : record->engine_sets) {
      if (ended(set, status.engines)) {
        for (json* const sets : {&out["engines"]["sets"], &out["ipyfleet"]["engine_sets"]}) {
          if (sets->is_object()) {
            sets->erase(id);
          }
        }
      }
    }
  }
  return out.dump(-1, ' ', false, json::error_handler_t::replace);
}

void signal_process(const ProcessId& process, int number) {
  const FileDescriptor pidfd = open_pidfd(process.pid);
  if (!runs(process)) {
    return;
  }
  if (!pidfd || syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) != 0) {
    kill(process.pid, number);  // a kernel before 5.3
  }
}

std::vector<ProcessId> wait_until_gone(std::vector<ProcessId> processes, Duration limit) {
  const TimePoint deadline = steady_now() + limit;
  for (;;) {
    std::erase_if(processes, [](const ProcessId& process) { return !runs(process); });
    const Duration left = deadline - steady_now();
    if (processes.empty() || left <= Duration{0}) {
      return processes;
    }
    const FileDescriptor pidfd = open_pidfd(processes.front().pid);
    // Readable as soon as the process ends, zombie or not; without pidfd the short wait polls.
    constexpr Duration poll_step = std::chrono::milliseconds{5};
    const Duration step =
        std::min<Duration>(left, pidfd ? std::chrono::milliseconds{100} : poll_step);
    pollfd watched{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    const auto step_ms = std::chrono::ceil<std::chrono::milliseconds>(step).count();
    ::poll(&watched, 1, static_cast<int>(step_ms));
  }
}

}  // namespace ipf
