#include "launcher/ipcluster_commands.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iomanip>
#include <iostream>
#include <memory>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>
#include <variant>
#include <vector>

#include "core/log_pruning.hpp"
#include "core/text.hpp"
#include "launcher/added_engines.hpp"
#include "launcher/cluster_status.hpp"
#include "launcher/connection_files.hpp"
#include "launcher/daemonize.hpp"
#include "launcher/launcher.hpp"
#include "launcher/stop_cluster.hpp"
#include "net/log_spdlog.hpp"
#include "net/signals.hpp"

namespace ipf {

namespace {

/// A duration that the options file gives as a number of seconds.
Duration from_seconds(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}

std::string python_text(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += c;
  }
  return out + "\"";
}

/// Cluster ids with a cluster file in the profile's security directory, sorted.
std::vector<std::string> cluster_ids(const std::filesystem::path& profile_dir) {
  constexpr std::string_view prefix = "cluster-";
  constexpr std::string_view suffix = ".json";
  std::vector<std::string> out;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(profile_dir / "security", failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.ends_with(suffix)) {
      out.push_back(name.substr(prefix.size(), name.size() - prefix.size() - suffix.size()));
    }
  }
  std::ranges::sort(out);
  return out;
}

/// True for `<prefix><number>.log`, or `<prefix><number>-<number>.log` with two numbers; and for
/// what these were before they were followed by a new file.
bool is_log_name(std::string_view name, std::string_view prefix, int numbers) {
  constexpr std::string_view suffix = ".log";
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) {
    return false;
  }
  name.remove_prefix(prefix.size());
  for (; numbers > 0; --numbers) {
    const std::size_t digits = name.find_first_not_of("0123456789");
    if (digits == 0 || digits == std::string_view::npos) {
      return false;
    }
    name.remove_prefix(digits);
    if (numbers > 1) {
      if (name[0] != '-') {
        return false;
      }
      name.remove_prefix(1);
    }
  }
  return name == suffix || name == ".1.log" || name == ".2.log";
}

/// Removes the logs of earlier runs of this cluster; those of other cluster ids stay.
void remove_logs(const ProfilePaths& paths) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(paths.log(), failure)) {
    const std::string name = entry.path().filename().string();
    if (is_log_name(name, "ipcontroller" + paths.dashed_id() + "-", 1) ||
        is_log_name(name, "ipcluster" + paths.dashed_id() + "-", 1) ||
        is_log_name(name, "ipengine" + paths.dashed_id() + "-", 1) ||
        is_log_name(name, "ipengine-" + paths.cluster_id + "-", 2)) {
      std::error_code ignored;
      std::filesystem::remove(entry.path(), ignored);
    }
  }
}

class Commands {
 public:
  Commands(const CommandLine& command_line, const IpclusterServices& services)
      : profile_(with_environment(command_line.profile)),
        given_(command_line.profile),
        level_(command_line.log_level),
        services_(services) {}

  int operator()(const StartCommand& command);
  int operator()(const EnginesCommand& command);
  int operator()(const CleanCommand& command);
  int operator()(const StopCommand& command);
  int operator()(const ListCommand& command);
  int operator()(const TopCommand& command) const { return look(services_.top, command); }
  int operator()(const DoctorCommand& command) const { return look(services_.doctor, command); }

 private:
  int fail(const Error& error) const;
  template <class Look, class Command>
  int look(const Look& at, const Command& command) const;
  Result<std::unique_ptr<Log>> log(const char* name) const;
  int run_cluster(ClusterOptions options, StartReport* report);
  int run_engines(ClusterOptions options, StartReport* report);
  int clean_cluster(const ProfilePaths& paths, bool force, Log& log) const;
  [[nodiscard]] std::vector<std::filesystem::path> listed_profiles() const;
  void list_cluster(const ProfilePaths& paths) const;
  [[nodiscard]] std::string profile_label(const std::filesystem::path& dir) const;

  ProfileOptions profile_;
  ProfileOptions given_;
  LogLevel level_;
  const IpclusterServices& services_;
};

int Commands::fail(const Error& error) const {
  services_.err << "ipcluster: " << error.message << '\n';
  return error.code == ErrorCode::invalid_argument ? exit_usage : exit_failed;
}

template <class Look, class Command>
int Commands::look(const Look& at, const Command& command) const {
  const Result<ProfilePaths> paths = locate_profile(profile_);
  return paths ? at(command, *paths) : fail(paths.error());
}

Result<std::unique_ptr<Log>> Commands::log(const char* name) const {
  return make_log({.name = name, .level = level_, .file = {}});
}

int start_exit_code(const Error& error) {
  switch (error.code) {
    case ErrorCode::unavailable:
      return exit_already_started;
    case ErrorCode::invalid_argument:
      return exit_usage;
    default:
      return exit_failed;
  }
}

std::vector<std::string> command_or_sibling(const std::vector<std::string>& command,
                                            const char* program) {
  return command.empty() ? std::vector<std::string>{sibling_program(program)} : command;
}

Result<ClusterOptions> cluster_options(const StartCommand& command, const ProfilePaths& paths) {
  ClusterOptions out{
      .paths = paths,
      .engines = command.engines,
      .controller_launcher = command.controller_launcher,
      .engine_launcher = command.engine_launcher,
      .controller_command = command_or_sibling(command.controller_command, "ipcontroller"),
      .controller_args = command.controller_args,
      .engine_command = command_or_sibling(command.engine_command, "ipengine"),
      .controller_settings = command.controller_settings,
      .engine_settings = command.engine_settings,
      .ip = command.ip,
      .location = command.location,
      .delay = from_seconds(command.delay_seconds),
      .engine_timeout = from_seconds(command.engine_timeout_seconds),
      .early_shutdown = from_seconds(command.early_shutdown_seconds),
      .all_or_nothing = command.daemonize};
  if (command.engine_command.empty()) {  // another program may not know these options
    const auto kind = launcher_short_name(LauncherRole::engines, command.engine_launcher);
    if (!kind || *kind != "mpi") {  // a process of an MPI job cannot be replaced
      out.engine_args = {"--restart=" + command.restart};
    }
    if (!command.memory_limit.empty()) {
      out.engine_args.push_back("--memory-limit=" + command.memory_limit);
    }
    out.fork_server = !command.no_fork;
    if (!command.python.empty()) {
      out.engine_args.push_back("--python=" + command.python);
      out.fork_server_args.push_back("--python=" + command.python);
    }
    if (!command.preload.empty()) {
      out.fork_server_args.push_back("--preload=" + command.preload);
    }
  }
  if (!command.work_dir.empty() && chdir(command.work_dir.c_str()) != 0) {
    return unexpected(ErrorCode::io,
                      "cannot enter the directory " + command.work_dir + ": " + errno_text(errno));
  }
  return out;
}

/// Runs the cluster in this process; `report` is there when another one waits for the start.
int Commands::run_cluster(ClusterOptions options, StartReport* report) {
  // For good: the last of ten Ctrl-C may come when the cluster has stopped and this process leaves.
  block_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  Result<std::unique_ptr<Log>> log = this->log("IPClusterStart");
  if (!log) {
    return fail(log.error());
  }
  if (report == nullptr) {
    (*log)->info("Starting ipcluster with [daemonize=False]");
  }
  ClusterHooks hooks;
  if (services_.make_registered) {
    hooks.registered = services_.make_registered();
  }
  const ProfilePaths paths = options.paths;
  hooks.on_progress = [&](int registered, int wanted) {
    if (report != nullptr) {
      report->progress(registered, wanted);
    } else {
      (*log)->debug(std::to_string(registered) + " of " + std::to_string(wanted) +
                    " engines registered");
    }
  };
  hooks.on_ready = [&] {
    if (report != nullptr) {
      report->ready();
    } else {
      services_.out << connect_lines(profile_, paths) << std::flush;
    }
  };
  const Result<void> outcome = Cluster(std::move(options), std::move(hooks), **log).run();
  if (outcome) {
    if (report != nullptr) {
      report->failed(exit_failed, "stopped before all engines were registered");
    }
    return 0;
  }
  const int code = start_exit_code(outcome.error());
  services_.err << "ipcluster: " << outcome.error().message << '\n' << std::flush;
  if (report != nullptr) {
    report->failed(code, outcome.error().message);
  }
  return code;
}

int Commands::operator()(const StartCommand& command) {
  const Result<ProfilePaths> paths = locate_profile(profile_);
  if (!paths) {
    return fail(paths.error());
  }
  for (const Result<void>& checked : {make_profile(*paths), check_not_running(*paths)}) {
    if (!checked) {
      fail(checked.error());
      return start_exit_code(checked.error());
    }
  }
  prune_logs(paths->dir);
  if (command.clean_logs) {
    remove_logs(*paths);
  }
  Result<ClusterOptions> options = cluster_options(command, *paths);
  if (!options) {
    return fail(options.error());
  }
  if (!command.daemonize) {
    return run_cluster(std::move(*options), nullptr);
  }
  {
    const Result<std::unique_ptr<Log>> log = this->log("IPClusterStart");
    if (log) {
      (*log)->info("Starting ipcluster with [daemonize=True]");
    }
  }
  const Duration slack = std::chrono::seconds{10};
  const DaemonOptions daemon{
      .program = "ipcluster",
      .log_dir = paths->log(),
      .log_stem = "ipcluster" + paths->dashed_id(),
      .limit = options->connection_timeout + options->delay + options->engine_timeout + slack};
  const int code = daemonize(daemon, services_.out, services_.err,
                             [&](StartReport& report) { return run_cluster(*options, &report); });
  if (code == 0) {
    services_.out << connect_lines(profile_, *paths) << std::flush;
  }
  return code;
}

/// Runs one more set of engines in this process, as run_cluster() does a cluster.
int Commands::run_engines(ClusterOptions options, StartReport* report) {
  block_signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT});
  Result<std::unique_ptr<Log>> log = this->log("IPClusterEngines");
  if (!log) {
    return fail(log.error());
  }
  ClusterHooks hooks;
  if (services_.make_registered) {
    hooks.registered = services_.make_registered();
  }
  hooks.on_ready = [&] {
    if (report != nullptr) {
      report->ready();
    }
  };
  const Result<void> outcome = AddedEngines(std::move(options), std::move(hooks), **log).run();
  const int code = outcome ? 0 : start_exit_code(outcome.error());
  const std::string text =
      outcome ? "stopped before all engines were registered" : outcome.error().message;
  if (!outcome) {
    services_.err << "ipcluster: " << text << '\n' << std::flush;
  }
  if (report != nullptr) {
    report->failed(outcome ? exit_failed : code, text);
  }
  return code;
}

int Commands::operator()(const EnginesCommand& command) {
  const Result<ProfilePaths> paths = locate_profile(profile_);
  if (!paths) {
    return fail(paths.error());
  }
  if (const Result<void> made = make_profile(*paths); !made) {
    return fail(made.error());
  }
  Result<ClusterOptions> options = cluster_options(command.start, *paths);
  if (!options) {
    return fail(options.error());
  }
  if (!command.start.daemonize) {
    return run_engines(std::move(*options), nullptr);
  }
  const DaemonOptions daemon{.program = "ipcluster",
                             .log_dir = paths->log(),
                             .log_stem = "ipcluster" + paths->dashed_id(),
                             .limit = options->connection_timeout + options->engine_timeout};
  return daemonize(daemon, services_.out, services_.err,
                   [&](StartReport& report) { return run_engines(*options, &report); });
}

int Commands::clean_cluster(const ProfilePaths& paths, bool force, Log& log) const {
  if (const Result<void> idle = check_not_running(paths); !idle) {
    if (!force) {
      services_.err << "ipcluster: not cleaned: " << idle.error().message
                    << ", or `ipcluster clean --force`\n";
      return exit_failed;
    }
    if (const Result<bool> stopped = stop_cluster(paths, SIGTERM, log); !stopped) {
      return fail(stopped.error());
    }
  }
  if (controller_runs(paths)) {
    services_.err << "ipcluster: not cleaned: a controller that ipcluster did not start uses "
                  << paths.client_file().string() << '\n';
    return exit_failed;
  }
  for (const auto& file :
       {paths.cluster_file(), paths.client_file(), paths.engine_file(), paths.pid_file()}) {
    std::error_code failure;
    std::filesystem::remove(file, failure);
    if (failure) {
      services_.err << "ipcluster: cannot remove " << file.string() << ": " << failure.message()
                    << '\n';
      return exit_failed;
    }
  }
  remove_logs(paths);
  log.info("Cleaned cluster '" + paths.cluster_id + "' of " + paths.dir.string());
  return 0;
}

int Commands::operator()(const CleanCommand& command) {
  const Result<std::unique_ptr<Log>> log = this->log("IPClusterClean");
  const Result<ProfilePaths> base = locate_profile(profile_);
  if (!log || !base) {
    return fail(log ? base.error() : log.error());
  }
  std::vector<std::string> ids{profile_.cluster_id};
  if (command.all) {
    const std::vector<std::string> known = cluster_ids(base->dir);
    ids.insert(ids.end(), known.begin(), known.end());
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
  }
  int code = 0;
  for (const std::string& id : ids) {
    const int one = clean_cluster({.dir = base->dir, .cluster_id = id}, command.force, **log);
    code = code == 0 ? one : code;
  }
  return code;
}

int Commands::operator()(const StopCommand& command) {
  const Result<std::unique_ptr<Log>> log = this->log("IPClusterStop");
  if (!log) {
    return fail(log.error());
  }
  const Result<ProfilePaths> base = locate_profile(profile_);
  if (!base) {
    return fail(base.error());
  }
  std::vector<std::string> ids = command.cluster_ids;
  if (command.all) {
    ids = cluster_ids(base->dir);
    if (ids.empty()) {
      (*log)->info("No clusters to stop");
    }
  } else if (ids.empty()) {
    ids.push_back(profile_.cluster_id);
  }
  int code = 0;
  for (const std::string& id : ids) {
    ProfileOptions one = profile_;
    one.cluster_id = id;
    const Result<ProfilePaths> paths = locate_profile(one);
    if (!paths) {
      return fail(paths.error());
    }
    const Result<bool> stopped = stop_cluster(*paths, command.signal, **log);
    if (!stopped) {
      code = fail(stopped.error());
    } else if (*stopped) {
      (*log)->info("Stopped cluster '" + id + "' of " + paths->dir.string());
    } else if (!command.all) {
      services_.err << "ipcluster: no cluster '" << id << "' runs in " << paths->dir.string()
                    << '\n';
      code = code == 0 ? exit_already_stopped : code;
    }
  }
  return code;
}

std::vector<std::filesystem::path> Commands::listed_profiles() const {
  std::vector<std::filesystem::path> out;
  if (!profile_.profile.empty() || !profile_.profile_dir.empty()) {
    if (const Result<ProfilePaths> paths = locate_profile(profile_)) {
      out.push_back(paths->dir);
    }
    return out;
  }
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(profile_.ipython_dir, failure)) {
    if (entry.path().filename().string().starts_with("profile_")) {
      out.push_back(std::filesystem::absolute(entry.path()).lexically_normal());
    }
  }
  std::ranges::sort(out);
  return out;
}

std::string Commands::profile_label(const std::filesystem::path& dir) const {
  constexpr std::string_view prefix = "profile_";
  const std::string name = dir.filename().string();
  const auto home = std::filesystem::absolute(profile_.ipython_dir).lexically_normal();
  return dir.parent_path() == home && name.starts_with(prefix) ? name.substr(prefix.size())
                                                               : dir.string();
}

void Commands::list_cluster(const ProfilePaths& paths) const {
  const Result<KnownCluster> known = find_cluster(paths);
  if (!known) {
    services_.err << "ipcluster: " << known.error().message << '\n';
    return;
  }
  const auto& [record, status] = *known;
  std::string running = status.controller.empty() && !status.remote_controller ? "False" : "True";
  int engines = static_cast<int>(status.engines.size()) + status.remote_engines;
  if (status.liveness == Liveness::elsewhere) {
    running = "on " + printable(record.machine->host);
    engines = 0;
    for (const auto& [id, set] : record.engine_sets) {
      engines += set.engines;
    }
  }
  const std::string id = paths.cluster_id.empty() ? "''" : paths.cluster_id;
  services_.out << std::left << std::setw(16) << profile_label(paths.dir) << ' ' << std::setw(32)
                << id << ' ' << std::setw(7) << running << ' ' << std::right << std::setw(7)
                << engines << ' ' << std::left << launcher_label(record.engines_kind) << '\n';
}

int Commands::operator()(const ListCommand& command) {
  std::string separator = "[";
  if (!command.json) {
    services_.out << std::left << std::setw(16) << "PROFILE" << ' ' << std::setw(32) << "CLUSTER ID"
                  << ' ' << std::setw(7) << "RUNNING" << ' ' << std::setw(7) << "ENGINES" << ' '
                  << "LAUNCHER\n";
  }
  for (const auto& dir : listed_profiles()) {
    for (const std::string& id : cluster_ids(dir)) {
      const ProfilePaths paths{.dir = dir, .cluster_id = id};
      if (!command.json) {
        list_cluster(paths);
        continue;
      }
      const Result<std::string> text = living_cluster_json(paths.cluster_file());
      if (!text) {
        services_.err << "ipcluster: " << text.error().message << '\n';
        continue;
      }
      services_.out << std::exchange(separator, ", ") << *text;
    }
  }
  if (command.json) {
    services_.out << (separator == "[" ? "[]" : "]") << '\n';
  }
  return 0;
}

}  // namespace

std::string connect_lines(const ProfileOptions& profile, const ProfilePaths& paths) {
  std::string arguments;
  const auto add = [&arguments](const char* name, const std::string& value) {
    arguments += (arguments.empty() ? "" : ", ") + std::string{name} + "=" + python_text(value);
  };
  const std::filesystem::path usual =
      std::filesystem::absolute(profile.ipython_dir).lexically_normal() /
      ("profile_" + (profile.profile.empty() ? "default" : profile.profile));
  if (profile.ipython_dir.empty() || paths.dir != usual) {
    add("profile_dir", paths.dir.string());
  } else if (!profile.profile.empty() && profile.profile != "default") {
    add("profile", profile.profile);
  }
  if (!paths.cluster_id.empty()) {
    add("cluster_id", paths.cluster_id);
  }
  return "Connect a client with:\n  import ipyfleet as ipp\n  rc = ipp.Client(" + arguments + ")\n";
}

int run_ipcluster(const CommandLine& command_line, const IpclusterServices& services) {
  return std::visit(Commands(command_line, services), command_line.command);
}

}  // namespace ipf
