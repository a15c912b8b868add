#include "launcher/stop_cluster.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "launcher/cluster_status.hpp"
#include "launcher/connection_files.hpp"
#include "launcher/pid_file.hpp"
#include "launcher/process.hpp"
#include "launcher/remote_parts.hpp"

namespace ipf {

namespace {

// A little more than the grace that ipcluster itself gives its children.
constexpr Duration grace = std::chrono::milliseconds{5500};
constexpr Duration kill_wait = std::chrono::seconds{2};
constexpr Duration remote_grace = std::chrono::seconds{40};  // what a batch system may take

/// What still runs of those whose pids are recorded, and of what they started in their groups.
std::vector<pid_t> left_in_groups(const ClusterRecord& record) {
  std::vector<ProcessId> recorded = record.controller.processes;
  for (const auto& [id, set] : record.engine_sets) {
    recorded.insert(recorded.end(), set.processes.begin(), set.processes.end());
  }
  std::vector<pid_t> out;
  for (const ProcessId& process : recorded) {
    const std::vector<pid_t> members = group_members(process.pid);
    // The number may meanwhile name a group that has nothing to do with this cluster.
    if (std::ranges::any_of(members, [&](pid_t pid) { return belongs_to_cluster(pid, record); })) {
      out.insert(out.end(), members.begin(), members.end());
    }
  }
  return out;
}

void kill_all(const ClusterRecord& record, const std::vector<ProcessId>& processes) {
  for (const ProcessId& process : processes) {
    signal_process(process, SIGKILL);
  }
  for (const pid_t pid : left_in_groups(record)) {
    kill(pid, SIGKILL);
  }
}

Result<void> end_processes(const KnownCluster& known, int signal, Log& log) {
  std::vector<ProcessId> left = known.status.all();
  Duration patience = grace;
  if (known.status.ipcluster && signal != SIGKILL) {
    signal_process(*known.status.ipcluster, signal);
    const bool remote = known.status.remote_controller || known.status.remote_engines > 0;
    if (wait_until_gone({*known.status.ipcluster}, remote ? remote_grace : grace).empty()) {
      left = wait_until_gone(left, Duration{0});  // something only if ipcluster was killed
    } else {
      patience = kill_wait;  // ipcluster hangs: its children have had their grace
    }
  }
  if (!left.empty() && signal != SIGKILL) {
    for (const ProcessId& process : left) {
      signal_process(process, signal);
    }
    left = wait_until_gone(left, patience);
  }
  if (!left.empty() && signal != SIGKILL) {
    log.warning(std::to_string(left.size()) + " processes did not end in time: sending SIGKILL");
  }
  kill_all(known.record, left);
  left = wait_until_gone(left, kill_wait);
  if (!left.empty()) {
    return unexpected(ErrorCode::timed_out,
                      "process " + std::to_string(left.front().pid) + " survives SIGKILL");
  }
  return {};
}

void remove_files(const ProfilePaths& paths, const ClusterRecord& record) {
  std::error_code failure;
  {
    const ClusterFileLock lock(paths.cluster_file());
    std::filesystem::remove(paths.cluster_file(), failure);
  }
  if (!controller_runs(paths)) {
    ConnectionFiles(paths, record.controller_args).remove_left_over();
  }
  if (!PidFile::holder(paths.pid_file())) {
    std::filesystem::remove(paths.pid_file(), failure);
  }
}

}  // namespace

Result<bool> stop_cluster(const ProfilePaths& paths, int signal, Log& log) {
  Result<KnownCluster> known = find_cluster(paths);
  if (!known) {
    if (known.error().code == ErrorCode::not_found) {
      return false;
    }
    return unexpected(known.error());
  }
  if (known->status.liveness == Liveness::elsewhere) {
    return unexpected(ErrorCode::unavailable, "the cluster is recorded as running on host '" +
                                                  printable(known->record.machine->host) +
                                                  "'; stop it there, or remove " +
                                                  paths.cluster_file().string() + " if it is gone");
  }
  const bool running = known->status.liveness == Liveness::running;
  if (running) {
    IPF_TRY(end_processes(*known, signal, log));
    if (const auto late = find_cluster(paths); late && late->status.liveness == Liveness::running) {
      // ipcluster was killed while it started more than the file said before.
      IPF_TRY(end_processes(*late, SIGKILL, log));
      if (!RemoteParts(late->record).stop(remote_grace, log)) {
        return unexpected(ErrorCode::timed_out,
                          "not everything that runs in a batch system or on other hosts has ended, "
                          "see " +
                              paths.cluster_file().string());
      }
    }
  }
  remove_files(paths, known->record);
  return running;
}

}  // namespace ipf
