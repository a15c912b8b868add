#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/result.hpp"
#include "launcher/launcher.hpp"
#include "launcher/process.hpp"

namespace ipf {

/// A process of this machine that a launcher looks after: a child of this process, or one that
/// another process has started and whose exit status therefore nobody here gets.
class LaunchedProcess {
 public:
  explicit LaunchedProcess(Process child) : process_(std::move(child)) {}
  LaunchedProcess(ProcessId foreign, const ProfilePaths& paths);

  [[nodiscard]] ProcessId id() const;
  std::optional<ExitStatus> poll();
  void signal(int number);
  void signal_group(int number);
  bool group_running();

 private:
  struct Foreign {
    ProcessId id{};
    ProfilePaths paths{};
    bool ended{};
  };
  /// Members of the group the foreign process leads; none when its number means another group now.
  static std::vector<pid_t> members(const Foreign& foreign);
  std::variant<Process, Foreign> process_;
};

/// The processes of one local launcher by their number in the set. Not thread-safe.
class ProcessTable {
 public:
  struct Entry {
    int index{};
    LaunchedProcess process;
    std::filesystem::path output_file{};
    bool exit_reported{};
  };

  Result<void> spawn(int index,
                     const LaunchOptions& options,
                     const std::filesystem::path& output_file);
  void add(Entry entry) { entries_.push_back(std::move(entry)); }

  /// Reports each end once and ends what the process may have left in its group.
  void poll(std::vector<LaunchExit>& ended);
  bool running();
  /// `not_found` when there is no such number.
  Result<void> signal(int number, std::optional<int> index);
  Result<void> stop(StopLevel level, std::optional<int> index);
  /// Makes room for the number and returns its output file; fails while its process runs.
  Result<std::filesystem::path> forget_ended(int index);

  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const;

 private:
  template <class Action>
  Result<void> for_each(std::optional<int> index, Action action);
  std::vector<Entry> entries_{};
};

/// Starts one process of a launcher with the cluster's environment.
Result<Process> spawn_launched(const LaunchOptions& options,
                               const std::filesystem::path& output_file);

/// What every state in a cluster file has: cluster_id, profile_dir, state.
nlohmann::json base_state(const LaunchOptions& options);
/// Of a set with `engines` engines; `by_index` has the state of each program.
std::string set_state(const LaunchOptions& options, int engines, nlohmann::json by_index);

/// The state of one local process.
nlohmann::json process_state(const LaunchOptions& options, const ProcessTable::Entry& entry);

/// Takes the process that a state names; nothing when it does not run, or the pid means another.
std::optional<ProcessTable::Entry> restored_entry(int index,
                                                  const nlohmann::json& state,
                                                  const ProfilePaths& paths);

std::string dump_state(const nlohmann::json& state);

/// `<log>/ipengine-<cluster id>-<set id>-<suffix>.log`
std::filesystem::path engine_log(const LaunchOptions& options, const std::string& suffix);
/// `<log>/ipcontroller[-<cluster id>]-<pid of this process>.log`
std::filesystem::path controller_log(const LaunchOptions& options);

/// The Error of restore() when nothing of the state runs.
Unexpected nothing_runs(const std::string& class_name);

}  // namespace ipf
