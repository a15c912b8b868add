#include "launcher/ipcluster_cli.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <sched.h>
#include <sstream>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>

#include "core/joined.hpp"
#include "launcher/ipcluster_look_options.hpp"
#include "launcher/process.hpp"
#include "net/log_spdlog.hpp"

namespace ipf {

namespace {

constexpr std::array<std::string_view, 7> subcommands{"start", "engines", "stop", "list",
                                                      "clean", "doctor",  "top"};
constexpr int engines_max = 100'000;

constexpr const char* main_help = R"(Examples:
  ipcluster start -n 4                     start a controller and 4 engines, Ctrl-C stops them
  ipcluster start -n 4 --daemonize         the same in the background; returns when they are ready
  ipcluster -n 4                           short for `ipcluster start -n 4`
  ipcluster start --profile=big -- --scheme=lru     arguments after -- go to the controller
  ipcluster list                           show the clusters of all profiles
  ipcluster stop                           stop the cluster of the default profile
  ipcluster engines -n 2                   two more engines for the running cluster
  ipcluster clean                          remove files and logs of a cluster that has ended
  ipcluster top                            watch engines, queues and rates; q ends it
  ipcluster doctor                         find out what is wrong with this host or the cluster

Exit codes:
  0   success                        10  start: the cluster is already running
  1   failed, the reason is shown    11  stop: no such cluster runs
  2   wrong command line)";

constexpr const char* start_help = R"(Examples:
  ipcluster start                          one engine for each CPU
  ipcluster start --n=4 --daemonize
  ipcluster start -n 4 --cluster-id=second -- --hwm=0

In the foreground Ctrl-C (SIGINT) and SIGTERM stop everything, SIGUSR1 and SIGUSR2 go on to the
engines. If ipcluster itself is killed, controller and engines go on; `ipcluster stop` ends them.
With --daemonize the command returns 0 when all engines are registered, else everything is stopped
again and the reason is shown.

Exit codes: 0 success, 1 failed, 2 wrong command line, 10 already running)";

constexpr const char* engines_help = R"(Examples:
  ipcluster engines -n 2                   two more engines for the cluster of the default profile
  ipcluster engines -n 8 --engines=slurm --daemonize

The controller may run already, or be started soon: engines wait for its connection file. In the
foreground Ctrl-C stops these engines alone. `ipcluster stop` ends them with the cluster.

Exit codes: 0 success, 1 failed, 2 wrong command line)";

constexpr const char* clean_help =
    R"(Removes the cluster file, the connection files, the pid file and the logs of a cluster that does not
run any more.

Examples:
  ipcluster clean                          the cluster of the default profile without an id
  ipcluster clean --all                    all clusters of the profile
  ipcluster clean --force                  stop it first, if it runs

Exit codes: 0 cleaned (or nothing was there), 1 it runs or could not be removed, 2 wrong command line)";

constexpr const char* stop_help = R"(Examples:
  ipcluster stop                           the cluster of the default profile
  ipcluster stop first second              clusters by id
  ipcluster stop --all --profile=big       all clusters of a profile

Exit codes: 0 stopped, 1 failed, 2 wrong command line, 11 no such cluster runs)";

constexpr const char* list_help = R"(Examples:
  ipcluster list
  ipcluster list --output=json --profile-dir=/data/profile_big

Without --profile or --profile-dir the clusters of all profiles are shown.)";

/// What CLI11 fills in, before it is checked.
struct Raw {
  ProfileOptions profile{};
  StartCommand start{};
  StopCommand stop{};
  CleanCommand clean{};
  TopCommand top{};
  DoctorCommand doctor{};
  std::string controller_command{};
  std::string engine_command{};
  std::string signal{"TERM"};
  std::string output{"text"};
  std::string log_level{"info"};
  bool debug{};
  bool quiet{};
};

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? std::max(CPU_COUNT(&set), 1) : 1;
}

void add_base_options(CLI::App& app, Raw& raw) {
  app.add_option("--profile", raw.profile.profile, "Profile name (default: \"default\")");
  app.add_option("--profile-dir", raw.profile.profile_dir, "Profile directory, instead of a name");
  app.add_option("--ipython-dir", raw.profile.ipython_dir, "Where the profiles are (~/.ipython)");
  app.add_option("--cluster-id", raw.profile.cluster_id, "Id of the cluster in its profile");
  app.add_option("--log-level", raw.log_level, "debug, info, warning or error (or 10, 20, 30, 40)");
  app.add_flag("--debug", raw.debug, "Same as --log-level=debug");
  app.add_flag("--quiet", raw.quiet, "Same as --log-level=error");
}

/// What `start` and `engines` have in common.
void add_engine_options(CLI::App& app, Raw& raw) {
  app.add_option("-n,--n", raw.start.engines, "Number of engines (default: number of CPUs)")
      ->check(CLI::Range(0, engines_max));
  app.add_option("--engines", raw.start.engine_launcher,
                 "How engines are started: local, mpi, ssh, sshproxy, slurm, sge, pbs, lsf, "
                 "htcondor, winhpc or batch (local)");
  app.add_option("--restart", raw.start.restart,
                 "on-failure: a crashed engine is started again under its id; or never "
                 "(on-failure)")
      ->check(CLI::IsMember({"never", "on-failure"}));
  app.add_option("--memory-limit", raw.start.memory_limit,
                 "Memory of an engine and what it starts, e.g. 4G");
  app.add_option("--preload", raw.start.preload,
                 "Packages that all engines are to find imported, e.g. numpy,pandas");
  app.add_option("--python", raw.start.python,
                 "Python of the engines, or the directory of its environment");
  app.add_flag("--no-fork", raw.start.no_fork,
               "Start each engine from scratch, not as a fork of one process");
  app.add_flag("--daemonize", raw.start.daemonize, "Run in the background");
  app.add_option("--engine-cmd", raw.engine_command, "Command instead of ipengine, likewise");
  app.add_option("--engine-settings", raw.start.engine_settings,
                 "JSON object of the engine launcher's settings, e.g. {\"queue\": \"long\"}");
}

void add_start(CLI::App& app, Raw& raw) {
  CLI::App* const start = app.add_subcommand("start", "Start a controller and engines");
  add_engine_options(*start, raw);
  start->add_option("--controller", raw.start.controller_launcher,
                    "How the controller is started, likewise (local)");
  start->add_option("--ip", raw.start.ip, "Address the controller listens on, e.g. 0.0.0.0 or *");
  start->add_option("--location", raw.start.location, "Host name or address of the controller");
  start
      ->add_option("--delay", raw.start.delay_seconds,
                   "Seconds between a ready controller and the engines (default: 0)")
      ->check(CLI::Range(0.0, 3600.0));
  start
      ->add_option("--engine-timeout", raw.start.engine_timeout_seconds,
                   "Seconds to wait for the engines' registration (default: 60)")
      ->check(CLI::Range(0.0, 86400.0));
  start
      ->add_option("--early-shutdown", raw.start.early_shutdown_seconds,
                   "Seconds in which the end of all engines is a failed start (default: 30)")
      ->check(CLI::Range(0.0, 86400.0));
  start->add_flag("--clean-logs", raw.start.clean_logs, "Remove old log files of this cluster");
  start->add_option("--work-dir", raw.start.work_dir, "Working directory of all processes");
  start->add_option("--controller-cmd", raw.controller_command,
                    "Command instead of ipcontroller, split into words as by a shell");
  start->add_option("--controller-settings", raw.start.controller_settings,
                    "The same for the controller's launcher");
  add_base_options(*start, raw);
  start->footer(start_help);
}

void add_engines(CLI::App& app, Raw& raw) {
  CLI::App* const engines = app.add_subcommand("engines", "Add engines to a running cluster");
  add_engine_options(*engines, raw);
  add_base_options(*engines, raw);
  engines->footer(engines_help);
}

void add_clean(CLI::App& app, Raw& raw) {
  CLI::App* const clean = app.add_subcommand("clean", "Remove what ended clusters have left");
  clean->add_flag("--all", raw.clean.all, "All clusters of the profile");
  clean->add_flag("--force", raw.clean.force, "Stop a cluster that runs first");
  add_base_options(*clean, raw);
  clean->footer(clean_help);
}

void add_stop(CLI::App& app, Raw& raw) {
  CLI::App* const stop = app.add_subcommand("stop", "Stop a running cluster");
  stop->add_option("cluster_ids", raw.stop.cluster_ids, "Ids of the clusters to stop")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  stop->add_flag("--all", raw.stop.all, "All clusters of the profile");
  stop->add_option("--signal", raw.signal,
                   "First signal to send, e.g. TERM, INT, KILL or a number");
  add_base_options(*stop, raw);
  stop->footer(stop_help);
}

void add_list(CLI::App& app, Raw& raw) {
  CLI::App* const list = app.add_subcommand("list", "List clusters");
  list->add_option("-o,--output", raw.output, "text or json")
      ->check(CLI::IsMember({"text", "json"}, CLI::ignore_case));
  add_base_options(*list, raw);
  list->footer(list_help);
}

/// Puts the subcommand first: `-n 4` becomes `start -n 4`, `--debug stop` becomes `stop --debug`.
void normalize(std::vector<std::string>& args) {
  if (args.empty() || !args[0].starts_with('-')) {
    return;
  }
  for (const char* text_only : {"-h", "--help", "--version"}) {
    if (args[0] == text_only) {
      return;
    }
  }
  const auto named = std::ranges::find_if(args, [](const std::string& arg) {
    return std::ranges::find(subcommands, arg) != subcommands.end();
  });
  if (named == args.end()) {
    args.insert(args.begin(), "start");
  } else {
    std::rotate(args.begin(), named, named + 1);
  }
}

bool gives_engine_count(const CLI::App& used) {
  return (used.get_name() == "start" || used.get_name() == "engines") && used.count("-n") > 0;
}

CommandLineExit usage_error(const std::string& message) {
  return {.code = exit_usage,
          .out = {},
          .err = "ipcluster: " + message + " (see `ipcluster --help`)\n"};
}

CommandLineExit no_such_subcommand(const std::string& name) {
  return usage_error("there is no subcommand '" + name + "', but " + joined(subcommands));
}

/// Turns what CLI11 read into the checked command of `name`.
Result<CommandLine> checked(Raw raw, const std::string& name, bool has_engine_count) {
  CommandLine out{.command = {}, .profile = raw.profile};
  const Result<LogLevel> level = parse_log_level(raw.log_level);
  if (!level) {
    return unexpected(level.error());
  }
  out.log_level = raw.debug ? LogLevel::debug : raw.quiet ? LogLevel::error : *level;
  if (name == "list") {
    out.command = ListCommand{.json = !raw.output.empty() && std::tolower(raw.output[0]) == 'j'};
    return out;
  }
  if (name == "clean") {
    out.command = raw.clean;
    return out;
  }
  if (name == "top") {
    out.command = raw.top;
    return out;
  }
  if (name == "doctor") {
    out.command = raw.doctor;
    return out;
  }
  if (name == "stop") {
    const Result<int> signal = parse_signal(raw.signal);
    if (!signal) {
      return unexpected(signal.error());
    }
    raw.stop.signal = *signal;
    out.command = raw.stop;
    return out;
  }
  if (!has_engine_count) {
    raw.start.engines = available_cpus();
  }
  Result<std::vector<std::string>> controller = split_words(raw.controller_command);
  if (!controller) {
    return unexpected(controller.error());
  }
  Result<std::vector<std::string>> engine = split_words(raw.engine_command);
  if (!engine) {
    return unexpected(engine.error());
  }
  raw.start.controller_command = std::move(*controller);
  raw.start.engine_command = std::move(*engine);
  if (name == "engines") {
    out.command = EnginesCommand{.start = raw.start};
  } else {
    out.command = raw.start;
  }
  return out;
}

}  // namespace

std::variant<CommandLine, CommandLineExit> parse_ipcluster(std::vector<std::string> args,
                                                           std::string_view version) {
  Raw raw;
  const auto separator = std::ranges::find(args, "--");
  if (separator != args.end()) {
    raw.start.controller_args.assign(separator + 1, args.end());
    args.erase(separator, args.end());
  }
  normalize(args);
  CLI::App app("Start, extend, stop, list, clean, watch and examine IPython clusters", "ipcluster");
  app.set_version_flag("--version", std::string{version});
  app.require_subcommand(1);
  app.footer(main_help);
  app.option_defaults()->take_last();  // a script may add an option to a fixed command line
  add_start(app, raw);
  add_engines(app, raw);
  add_clean(app, raw);
  add_stop(app, raw);
  add_list(app, raw);
  add_base_options(add_top(app, raw.top), raw);
  add_base_options(add_doctor(app, raw.doctor), raw);
  if (args.empty()) {
    return CommandLineExit{.code = exit_failed, .out = {}, .err = app.help()};
  }
  if (!args[0].starts_with('-') && std::ranges::find(subcommands, args[0]) == subcommands.end()) {
    return no_such_subcommand(args[0]);
  }
  try {
    std::ranges::reverse(args);  // CLI11 takes them from the back
    app.parse(args);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      return usage_error(error.what());
    }
    std::ostringstream text;
    app.exit(error, text, text);
    return CommandLineExit{.code = 0, .out = text.str(), .err = {}};
  }
  const CLI::App* const used = app.get_subcommands().front();
  const bool has_engine_count = gives_engine_count(*used);
  if (used->get_name() != "start" && !raw.start.controller_args.empty()) {
    return usage_error("arguments after -- belong to `ipcluster start`");
  }
  Result<CommandLine> out = checked(std::move(raw), used->get_name(), has_engine_count);
  if (!out) {
    return usage_error(out.error().message);
  }
  return std::move(*out);
}

Result<std::vector<std::string>> split_words(std::string_view text) {
  std::vector<std::string> out;
  std::string word;
  bool in_word = false;
  char quote = '\0';
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
      word += text[++i];
      in_word = true;
    } else if (quote != '\0') {
      if (c == quote) {
        quote = '\0';
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      in_word = true;
    } else if (c == ' ' || c == '\t' || c == '\n') {
      if (in_word) {
        out.push_back(std::exchange(word, {}));
      }
      in_word = false;
    } else {
      word += c;
      in_word = true;
    }
  }
  if (quote != '\0') {
    return unexpected(ErrorCode::invalid_argument, "a quote is not closed in: " + printable(text));
  }
  if (in_word) {
    out.push_back(word);
  }
  return out;
}

Result<int> parse_signal(const std::string& text) {
  int number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure == std::errc{} && end == text.data() + text.size() && number > 0 && number < NSIG) {
    return number;
  }
  std::string upper = text;
  std::ranges::transform(upper, upper.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  for (number = 1; number < SIGRTMIN; ++number) {
    const std::string name = signal_name(number);
    if (upper == name || "SIG" + upper == name) {
      return number;
    }
  }
  return unexpected(ErrorCode::invalid_argument, "'" + printable(text) + "' is no signal");
}

}  // namespace ipf
