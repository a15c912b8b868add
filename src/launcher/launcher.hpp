#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "launcher/cluster_file.hpp"
#include "launcher/process.hpp"

namespace ipf {

enum class LauncherRole { controller, engines };

/// What every launcher needs to know; identity goes to the started programs by environment only
/// (IPP_CLUSTER_ID, IPP_PROFILE_DIR), the signing key never does.
struct LaunchOptions {
  ProfilePaths paths{};
  std::vector<std::string> command{};  ///< program and its fixed arguments
  std::vector<std::string> args{};     ///< what the user added
  std::filesystem::path work_dir{};    ///< empty: the current one
  std::string set_id{};                ///< name of the engine set; unused for a controller
  /// Engines of a local set are forked from one process that has loaded Python once.
  bool fork_server{};
  std::vector<std::string> fork_server_args{};
  std::vector<EnvironmentChange> environment{};  ///< for the started programs, on top of ours
  /// JSON object: the traits of ipyparallel's launcher classes without the class ("queue",
  /// "mpi_args", "environment", ...). A name the launcher does not know, or a value of the wrong
  /// type, is an Error that lists the known ones; empty means none.
  std::string settings_json{};
  bool restoring{};  ///< restore() follows: what only start() needs may be missing
};

/// One started program has ended, or could not be started.
struct LaunchExit {
  int index{};  ///< number of the engine in its set; 0 for a controller
  pid_t pid{};  ///< 0 when the program runs on another machine or never ran
  ExitStatus status{};
  std::filesystem::path output_file{};
  int engines{1};        ///< how many engines it stood for: all of an MPI job
  std::string detail{};  ///< what the backend says about it, e.g. the answer of sbatch
};

enum class StopLevel {
  graceful,  ///< SIGTERM or what the backend has for it
  kill,      ///< SIGKILL to everything that was started, children included
};

/// Starts and ends one controller or one set of engines. No call waits for what it starts or stops,
/// nor for a scheduler or another host: the owner polls. Not thread-safe.
///
/// Calls with an `index` are about one engine of the set, those without one about all. A backend
/// that cannot address single engines (MPI, a job that is no array) says so with `unavailable`.
///
/// A new backend is one file and one line in launcher.cpp's table.
class Launcher {
 public:
  Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  virtual ~Launcher() = default;

  /// Name for log lines, as users of ipyparallel know it: "LocalEngineSetLauncher".
  [[nodiscard]] virtual std::string class_name() const = 0;

  /// Starts a controller (the number does not count) or all engines of a set. After an Error some
  /// may run; stop() ends them. What fails later (a job that is refused) is reported by poll().
  virtual Result<void> start(int engines) = 0;

  /// Starts an engine again that has ended.
  virtual Result<void> restart(int index);

  /// Goes on with what was asked for and appends the programs that ended since the last call, each
  /// once. To be called after SIGCHLD and at least every poll_step().
  virtual void poll(std::vector<LaunchExit>& ended) = 0;
  [[nodiscard]] virtual Duration poll_step() const { return std::chrono::seconds{60}; }

  /// What the owner should log: a scheduler that does not answer, a signal that was refused.
  std::vector<std::string> take_warnings() { return std::exchange(warnings_, {}); }

  /// True while something waits in a queue for its turn, so that nobody should wonder that it does
  /// not answer yet.
  [[nodiscard]] virtual bool queued() const { return false; }

  /// How long a graceful stop may take before the owner should kill.
  [[nodiscard]] virtual Duration stop_grace() const { return std::chrono::seconds{5}; }

  /// True while anything that was started (or was started by it in its process group) runs, or is
  /// about to.
  virtual bool running() = 0;

  /// Whether signal() can send this one; where it cannot (SGE has no command for it), the signal
  /// has to go to the engines' nannies by way of the controller.
  [[nodiscard]] virtual bool can_signal(int number, std::optional<int> index) const;
  virtual Result<void> signal(int number, std::optional<int> index) = 0;
  Result<void> signal(int number) { return signal(number, std::nullopt); }

  virtual Result<void> stop(StopLevel level, std::optional<int> index) = 0;
  Result<void> stop(StopLevel level) { return stop(level, std::nullopt); }

  /// For the cluster file; state_json is empty when nothing runs.
  [[nodiscard]] virtual LauncherState state() const = 0;

  /// Grows whenever poll() has learned something that belongs in the cluster file (a job id).
  [[nodiscard]] std::uint64_t state_version() const { return state_version_; }

  /// Takes over what another process has started, from the state it left in the cluster file (ours
  /// or ipyparallel's). To be called instead of start(). `not_found`: nothing of it runs.
  virtual Result<void> restore(const std::string& state_json) = 0;

  /// Log files of everything that was started, as far as they are on this machine.
  [[nodiscard]] virtual std::vector<std::filesystem::path> output_files() const = 0;

 protected:
  void state_changed() { ++state_version_; }
  void warn(std::string text) { warnings_.push_back(std::move(text)); }

 private:
  std::uint64_t state_version_{};
  std::vector<std::string> warnings_{};
};

/// Makes the launcher a user asked for. Names are those of ipyparallel, case-insensitive: "local",
/// "Local", "LocalEngineSetLauncher", "ipyparallel.cluster.launcher.LocalEngineSetLauncher". An
/// unknown name is an Error that lists the known ones.
Result<std::unique_ptr<Launcher>> make_launcher(LauncherRole role,
                                                std::string_view name,
                                                LaunchOptions options);

/// make_launcher() and restore(); the paths may be missing in `options`, the state has them.
Result<std::unique_ptr<Launcher>> restore_launcher(LauncherRole role,
                                                   std::string_view name,
                                                   const std::string& state_json,
                                                   LaunchOptions options);

/// The short names ("local", "mpi", ...) that make_launcher() knows, sorted.
std::vector<std::string> launcher_names(LauncherRole role);

/// The short name for a name of a user, e.g. "winhpc" for "WindowsHPCEngineSetLauncher".
Result<std::string> launcher_short_name(LauncherRole role, std::string_view name);
/// "HTCondor" for "htcondor"; a name that is not known stays as it is.
std::string launcher_label(std::string_view name);

/// "<prefix>ControllerLauncher" or "<prefix>EngineSetLauncher".
std::string launcher_class_name(std::string_view prefix, LauncherRole role);

/// The environment that tells a started program which cluster it belongs to, and what was asked for
/// in addition.
std::vector<EnvironmentChange> cluster_environment(const LaunchOptions& options);

}  // namespace ipf
