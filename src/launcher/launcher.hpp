#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "core/profile.hpp"
#include "core/result.hpp"
#include "launcher/cluster_file.hpp"
#include "launcher/process.hpp"

namespace ipf {

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
};

/// One started program has ended.
struct LaunchExit {
  int index{};  ///< number of the engine in its set; 0 for a controller
  pid_t pid{};
  ExitStatus status{};
  std::filesystem::path output_file{};
};

enum class StopLevel {
  graceful,  ///< SIGTERM or what the backend has for it
  kill,      ///< SIGKILL to everything that was started, children included
};

/// Starts and ends one controller or one set of engines. No call waits for what it starts or stops:
/// the owner polls. Not thread-safe.
///
/// A new backend is one file with its two classes and one line in launcher.cpp's table.
class Launcher {
 public:
  Launcher() = default;
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;
  virtual ~Launcher() = default;

  /// Name for log lines, as users of ipyparallel know it: "LocalEngineSetLauncher".
  [[nodiscard]] virtual std::string class_name() const = 0;

  /// Appends the programs that ended since the last call, each once.
  virtual void poll(std::vector<LaunchExit>& ended) = 0;

  /// True while anything that was started (or was started by it in its process group) runs.
  virtual bool running() = 0;

  virtual void signal(int number) = 0;
  virtual void stop(StopLevel level) = 0;

  /// For the cluster file; state_json is empty when nothing runs.
  [[nodiscard]] virtual LauncherState state() const = 0;

  /// Log files of everything that was started.
  [[nodiscard]] virtual std::vector<std::filesystem::path> output_files() const = 0;
};

class ControllerLauncher : public Launcher {
 public:
  virtual Result<void> start() = 0;
};

class EngineSetLauncher : public Launcher {
 public:
  /// Starts all at once. After an Error some may run; stop() ends them.
  virtual Result<void> start(int engines) = 0;
};

/// Makes the launcher a user asked for. Names are those of ipyparallel, case-insensitive: "local",
/// "Local", "LocalEngineSetLauncher", "ipyparallel.cluster.launcher.LocalEngineSetLauncher". An
/// unknown name is an Error that lists the known ones.
Result<std::unique_ptr<ControllerLauncher>> make_controller_launcher(std::string_view name,
                                                                     LaunchOptions options);
Result<std::unique_ptr<EngineSetLauncher>> make_engine_set_launcher(std::string_view name,
                                                                    LaunchOptions options);

/// The environment that tells a started program which cluster it belongs to.
std::vector<EnvironmentChange> cluster_environment(const ProfilePaths& paths);

}  // namespace ipf
