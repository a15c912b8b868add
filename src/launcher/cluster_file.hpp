#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"

namespace ipf {

/// A process by pid and start time; start_ticks 0 means that the start time is not known (the file
/// was written by ipyparallel).
struct ProcessId {
  pid_t pid{};
  std::uint64_t start_ticks{};
  auto operator<=>(const ProcessId&) const = default;
};

/// Where pids mean something: one boot of one kernel, one pid namespace.
struct MachineId {
  std::string host{};
  std::string boot{};           ///< /proc/sys/kernel/random/boot_id
  std::string pid_namespace{};  ///< /proc/self/ns/pid
  bool operator==(const MachineId&) const = default;
};

MachineId this_machine();

/// True for launchers whose programs are no processes of this machine: batch systems and ssh.
bool runs_elsewhere(std::string_view kind);

/// State of a launcher as it stands in the file: the backend's name and its own JSON object.
struct LauncherState {
  std::string kind{};        ///< "local", "mpi", ... (entry point abbreviations of ipyparallel)
  std::string state_json{};  ///< JSON object; empty when nothing of it runs
  int engines{};             ///< how many engines it stands for; 0 for a controller
  std::vector<ProcessId> processes{};
  bool operator==(const LauncherState&) const = default;
};

/// Contents of `security/cluster-<id>.json` (protocol.md 2.6).
///
/// ipyparallel's Cluster.from_file opens what write_cluster_file wrote, and read_cluster_file reads
/// what ipyparallel wrote. Our own knowledge (start times, ipcluster's pid) stands under the extra
/// key "ipyfleet"; ipyparallel drops it when it rewrites the file, hence the optional fields. The
/// format has one class for all sets of engines: sets of another kind stand under "ipyfleet", too.
struct ClusterRecord {
  std::string cluster_id{};
  std::string profile_dir{};
  std::vector<std::string> controller_args{};
  std::string controller_ip{};
  std::string controller_location{};
  double delay_seconds{};
  int engines_wanted{};
  LauncherState controller{};
  std::string engines_kind{"local"};
  std::map<std::string, LauncherState> engine_sets{};
  std::optional<ProcessId> ipcluster{};
  std::optional<MachineId> machine{};
  bool operator==(const ClusterRecord&) const = default;
};

/// Replaces a file atomically; mode 0600 from the start.
Result<void> write_private_file(const std::filesystem::path& file, const std::string& text);

/// Keeps other writers of the cluster files beside `file` out while it lives: who reads, changes
/// and replaces one does that under this lock, ipcluster as well as the Cluster class of Python. It
/// is a flock of the directory and leaves no file behind. After `limit`, and where the file system
/// has no locks, it goes on without: a cluster that stops must not hang on a process that stands
/// still.
class ClusterFileLock {
 public:
  explicit ClusterFileLock(const std::filesystem::path& file,
                           Duration limit = std::chrono::seconds{5});
  [[nodiscard]] bool held() const { return held_; }

 private:
  FileDescriptor directory_;
  bool held_{};
};

/// Replaces a cluster file atomically, with mode 0600. Call it under a ClusterFileLock.
Result<void> write_cluster_file(const std::filesystem::path& file, const ClusterRecord& record);

/// Puts one set of engines into a cluster file, or takes it out if it has no state, and leaves
/// everything else there as it is. Takes the lock. Fails with not_found when there is no file.
Result<void> record_engine_set(const std::filesystem::path& file,
                               const std::string& set_id,
                               const LauncherState& set);

/// Fails with not_found when there is no file, malformed when it is not a cluster file.
Result<ClusterRecord> read_cluster_file(const std::filesystem::path& file);

}  // namespace ipf
