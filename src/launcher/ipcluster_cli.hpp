#pragma once

#include <csignal>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"

namespace ipf {

/// Exit codes of ipcluster; 10 and 11 are those of ipyparallel.
inline constexpr int exit_failed = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_already_started = 10;
inline constexpr int exit_already_stopped = 11;

struct StartCommand {
  int engines{};  ///< -n; by default one for each CPU this process may use
  std::string controller_launcher{"local"};
  std::string engine_launcher{"local"};
  std::vector<std::string> controller_command{};
  std::vector<std::string> engine_command{};
  std::vector<std::string> controller_args{};  ///< everything after `--`
  std::string ip{};
  std::string location{};
  std::string work_dir{};
  double delay_seconds{};
  double engine_timeout_seconds{60};
  double early_shutdown_seconds{30};
  std::string restart{"on-failure"};
  std::string memory_limit{};
  std::string preload{};
  std::string controller_settings{};  ///< JSON: see LaunchOptions::settings_json
  std::string engine_settings{};
  std::string python{};  ///< of the engines, as ipengine --python
  bool no_fork{};
  bool daemonize{};
  bool clean_logs{};
};

/// Engines for a controller that runs; the options about engines count.
struct EnginesCommand {
  StartCommand start{};
};

struct CleanCommand {
  bool all{};    ///< every cluster of the profile
  bool force{};  ///< a cluster that runs is stopped first
};

struct StopCommand {
  std::vector<std::string> cluster_ids{};  ///< empty: the one of --cluster-id
  bool all{};
  int signal{SIGTERM};
};

struct ListCommand {
  bool json{};
};

/// The live view.
struct TopCommand {
  double interval_seconds{2};
  double timeout_seconds{15};  ///< how long the controller may be silent
  int count{};                 ///< end after so many looks; 0: never
  bool once{};
  bool json{};
};

/// The examination of a host and a cluster.
struct DoctorCommand {
  double timeout_seconds{10};  ///< of each step
  bool json{};
  std::string controller_launcher{};  ///< empty: the one that the cluster file names, else local
  std::string engine_launcher{};
  std::string controller_settings{};  ///< as those of a start; only commands count
  std::string engine_settings{};
};

struct CommandLine {
  std::variant<StartCommand,
               EnginesCommand,
               StopCommand,
               ListCommand,
               CleanCommand,
               TopCommand,
               DoctorCommand>
      command{};
  ProfileOptions profile{};
  LogLevel log_level{LogLevel::info};
};

/// The command line asked for text only (--help, --version), or is wrong.
struct CommandLineExit {
  int code{};
  std::string out{};
  std::string err{};
};

/// Reads the arguments without the program's name. `ipcluster -n 4` means `ipcluster start -n 4`.
std::variant<CommandLine, CommandLineExit> parse_ipcluster(std::vector<std::string> args,
                                                           std::string_view version);

/// Splits a command as a shell does: blanks separate, '...' and "..." and backslashes quote.
/// Nothing is expanded. Fails on an open quote.
Result<std::vector<std::string>> split_words(std::string_view text);

/// "15", "TERM" and "SIGTERM" all are 15.
Result<int> parse_signal(const std::string& text);

}  // namespace ipf
