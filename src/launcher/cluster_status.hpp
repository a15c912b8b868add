#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "launcher/cluster_file.hpp"

namespace ipf {

enum class Liveness {
  stopped,    ///< nothing that is recorded runs
  running,    ///< at least one recorded process runs
  elsewhere,  ///< written on another machine: nothing can be said from here
};

/// What of a recorded cluster runs on this machine.
struct ClusterStatus {
  Liveness liveness{Liveness::stopped};
  std::optional<ProcessId> ipcluster{};
  std::vector<ProcessId> controller{};
  std::vector<ProcessId> engines{};
  /// What batch systems and other hosts were given, as the file says; whether it runs is not known
  /// without asking them (RemoteParts), so it counts as running.
  bool remote_controller{};
  int remote_engines{};
  [[nodiscard]] bool only_remote() const {
    return all().empty() && (remote_controller || remote_engines > 0);
  }
  /// ipcluster, controller and engines in one list.
  [[nodiscard]] std::vector<ProcessId> all() const;
};

/// Compares a record with the processes that run now. Start times come with the answer, also for
/// processes whose start time the file did not know.
ClusterStatus inspect(const ClusterRecord& record);

/// Record and status of the cluster at `paths`. When ipyparallel has rewritten the cluster file, or
/// it is not there yet, ipcluster itself is found by its locked pid file. not_found when there is
/// neither.
struct KnownCluster {
  ClusterRecord record{};
  ClusterStatus status{};
};
Result<KnownCluster> find_cluster(const ProfilePaths& paths);

/// The cluster file's JSON with everything left out that does not run any more.
Result<std::string> living_cluster_json(const std::filesystem::path& file);

/// True when a process that runs now is this one: same start time or, when that is not known, an
/// environment that names the cluster's profile directory and id.
bool is_recorded_process(const ProcessId& process, const ClusterRecord& record);

/// True when the environment of the process names the cluster's profile directory and id.
bool belongs_to_cluster(pid_t pid, const ClusterRecord& record);

/// Sends to the process if it is still the same one (no race with a reused pid).
void signal_process(const ProcessId& process, int number);

/// Waits until none of them runs; returns those that still do when `limit` is over.
std::vector<ProcessId> wait_until_gone(std::vector<ProcessId> processes, Duration limit);

}  // namespace ipf
