#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "launcher/connection_files.hpp"
#include "launcher/launcher.hpp"
#include "launcher/log_tail.hpp"
#include "launcher/pid_file.hpp"
#include "launcher/signal_watch.hpp"

namespace ipf {

/// How many engines are registered with the cluster's controller at this moment. Called every few
/// milliseconds during a start, from the thread that runs the cluster; must return soon. After an
/// Error the engines' logs are counted instead, until the next call. Dropped when all are there.
using RegisteredEngines = std::function<Result<int>(const ProfilePaths&)>;

struct ClusterOptions {
  ProfilePaths paths{};
  int engines{1};
  std::string controller_launcher{"local"};
  std::string engine_launcher{"local"};
  std::vector<std::string> controller_command{};  ///< program and its fixed arguments
  std::vector<std::string> controller_args{};
  std::vector<std::string> engine_command{};
  std::vector<std::string> engine_args{};
  bool fork_server{};  ///< see LaunchOptions
  std::vector<std::string> fork_server_args{};
  std::string controller_settings{};  ///< see LaunchOptions::settings_json
  std::string engine_settings{};
  std::string ip{};        ///< for the controller, also recorded in the cluster file
  std::string location{};  ///< likewise
  Duration delay{};        ///< pause between a ready controller and the start of the engines
  Duration connection_timeout{std::chrono::seconds{60}};
  Duration engine_timeout{std::chrono::seconds{60}};
  Duration early_shutdown{std::chrono::seconds{30}};
  Duration stop_grace{std::chrono::seconds{5}};
  /// True: an engine that dies before all are registered, or a missing registration after
  /// engine_timeout, fails the start. False: the cluster runs with those that came.
  bool all_or_nothing{};
};

struct ClusterHooks {
  RegisteredEngines registered{};  ///< empty: counted from the engines' logs
  std::function<void(int registered, int wanted)> on_progress{};
  std::function<void()> on_ready{};
};

/// The unix time, as in ipyparallel; later when a start in the same second has used it, because the
/// engines' logs are named after it and their end tells what is registered.
std::string unused_set_id(const ProfilePaths& paths);

/// Fails with `unavailable` when a cluster with these paths runs, or may run on another machine.
Result<void> check_not_running(const ProfilePaths& paths);

/// Starts a controller and its engines, watches them and ends them; what `ipcluster start` does
/// between reading its options and its exit.
///
/// | state      | waits for                                | bound                           |
/// |------------|------------------------------------------|---------------------------------|
/// | connecting | both connection files                    | connection_timeout              |
/// | engines    | registrations                            | engine_timeout                  |
/// | running    | a signal, the end of the controller      | none: that is its purpose       |
/// | stopping   | the end of all processes                 | stop_grace, then SIGKILL + 2 s  |
///
/// While it runs, SIGINT, SIGTERM, SIGHUP and SIGQUIT stop the cluster (repeated ones change
/// nothing), SIGUSR1 and SIGUSR2 go on to the engines. The children have sessions of their own: a
/// Ctrl-C of the terminal does not reach them, and they survive a `kill -9` of this process, so
/// that running work is not lost with it; `ipcluster stop` then finds them by the cluster file.
/// Uses one thread; fork happens in it.
class Cluster {
 public:
  Cluster(ClusterOptions options, ClusterHooks hooks, Log& log);

  /// Runs the cluster from start to end. The Error says why it could not start or why it broke;
  /// code `unavailable` means that it runs already. A stop by a signal is a success.
  Result<void> run();

 private:
  Result<void> prepare();
  Result<void> start_and_supervise();
  Result<void> start_controller();
  Result<void> start_engines();
  Result<void> wait_for_engines();
  Result<void> supervise();
  /// False when something still runs after SIGKILL and a bounded wait.
  bool stop_all();
  bool wait_until_stopped(Duration limit);
  void remove_files();

  /// Waits up to `timeout` for signals and ended children and handles them.
  void pump(Duration timeout);
  void poll_launchers();
  void handle_signal(int number);
  void stop_both(StopLevel level);
  void handle_engine_exit(const LaunchExit& exit);
  void handle_controller_exit(const LaunchExit& exit);
  [[nodiscard]] bool interrupted() const { return stop_requested_ || controller_ended_; }
  [[nodiscard]] Result<void> check_early_end() const;
  int count_registered();
  void report_progress(int registered);
  Result<void> write_file() const;

  ClusterOptions options_;
  ClusterHooks hooks_;
  Log& log_;
  PidFile pid_file_{};
  ConnectionFiles connection_files_;
  std::optional<SignalWatch> signals_{};
  std::unique_ptr<Launcher> controller_{};
  std::unique_ptr<Launcher> engines_{};
  std::uint64_t state_written_{};  ///< state versions of both, as the cluster file has them
  RegistrationLogs registration_logs_{};
  std::string set_id_{};
  TimePoint started_{};
  TimePoint engines_started_{};
  int engines_ended_{};
  int engines_failed_{};         ///< of those that ended: not by exit(0)
  std::string first_end_{};      ///< how the first engine ended, with the end of its log
  std::string probe_failure_{};  ///< why the number of registered engines is not known
  int progress_shown_{-1};
  TimePoint progress_shown_at_{};
  bool ready_{};
  bool stop_requested_{};
  bool stopping_{};
  bool controller_ended_{};
  std::optional<Error> controller_failure_{};
};

}  // namespace ipf
