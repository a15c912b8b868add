#include "engine/engine_options.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>

#include "core/text.hpp"
#include "net/log_spdlog.hpp"
#include "protocol/connection_file.hpp"

namespace ipf::engine {

namespace {

constexpr const char* examples = R"(Examples:
  ipengine                                 join the cluster of the default profile
  ipengine --profile=big --cluster-id=two  join another one
  ipengine --file=/data/ipcontroller-engine.json --location=head.example.org
  ipengine -c "import numpy as np"         run code at start, before the first request
  mpiexec -n 4 ipengine --mpi              engines whose ids are their MPI ranks
  ipengine --kernel                        a Jupyter kernel: attach with jupyter console --existing

The engine waits for the connection file and for the controller (60 s each), runs until the
controller or a client stops it, and can be stopped with SIGTERM or a double Ctrl-C.
Exit codes: 0 stopped, 1 failed, 2 wrong command line, 255 not registered)";

/// What is set before it is checked.
struct Raw {
  EngineOptions options{};
  int id{-1};
  double timeout_seconds{60};
  double wait_seconds{60};
  std::size_t output_mib{OutputAllowance::default_bytes_max >> 20U};
  double reconnect_seconds{600};
  std::string log_level{};
  std::string keyfile{};
  std::string key{};
  bool key_given{};
  std::string mpi{};
  std::string resources{};
  std::string restart{"never"};
  std::string memory_limit{};
  std::string config_file{};  ///< read before, see apps/configuration.hpp
  bool debug{};
  bool quiet{};
};

void add_connection_options(CLI::App& app, Raw& raw) {
  EngineOptions& options = raw.options;
  app.add_option("-f,--file", options.connection_file,
                 "The controller's connection file for engines, or a Jupyter kernel's");
  app.add_flag("--kernel", options.kernel,
               "Be a Jupyter kernel without a controller; --file is then the kernel's file");
  app.add_option("--url", options.registration_url,
                 "Registration address, e.g. tcp://10.0.0.1:10101");
  app.add_option("--ssh", options.ssh_server,
                 "ssh server [user@]host[:port] by way of which the controller is reached");
  app.add_option("--sshkey", options.ssh_key,
                 "Private key for it; without --ssh, the server is the controller's host");
  app.add_option("--location", options.location, "Host name or address of the controller");
  app.add_option("--controller-ip", options.controller_ip,
                 "Address of the controller, instead of the file's");
  app.add_option("--controller-port", options.controller_port,
                 "Registration port of the controller")
      ->check(CLI::Range(1, 65535));
  app.add_option("--timeout", raw.timeout_seconds,
                 "Seconds to wait for the controller's answer (60)")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option("--wait-for-file", raw.wait_seconds,
                 "Seconds to wait for the connection file (60)")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option("--max-heartbeat-misses", options.missed_pings_max,
                 "Pings in a row that may be missed before the controller is given up; 0: any (0)")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--reconnect-timeout", raw.reconnect_seconds,
                 "Seconds to wait for a controller that was lost; 0: for ever (600)")
      ->check(CLI::Range(0.0, 1e8));
  app.add_option("--ident", options.ident, "Identity of the engine (default: random)");
  app.add_option("--id", raw.id, "Wanted engine id; another one is given when it is taken")
      ->check(CLI::Range(0, 2'000'000'000));
  app.add_option("--user", options.username, "User name in messages");
  app.add_option("--keyfile", raw.keyfile, "File with the key of the cluster");
}

void add_life_options(CLI::App& app, Raw& raw) {
  EngineOptions& options = raw.options;
  app.add_option("--restart", raw.restart,
                 "on-failure: start a crashed engine again, under the same id; or never (never)")
      ->check(CLI::IsMember({"never", "on-failure"}));
  app.add_option("--restart-limit", options.restart_limit,
                 "Crashes in a minute after which the engine is not started again (5)")
      ->check(CLI::Range(0, 1'000'000));
  app.add_option("--memory-limit", raw.memory_limit,
                 "Memory of the engine and what it starts, e.g. 4G; an engine over it is ended");
  app.add_option("--preload", options.preload,
                 "With --fork-server: packages to import once for all engines, e.g. numpy,pandas")
      ->delimiter(',');
  app.add_option("--fork-server", options.fork_server,
                 "Be the process that engines with --fork-from=NAME are forked from (ipcluster "
                 "starts it)")
      ->type_name("NAME");
  app.add_option("--fork-from", options.fork_from, "Have the engine forked by this fork server")
      ->type_name("NAME");
}

void add_options(CLI::App& app, Raw& raw) {
  EngineOptions& options = raw.options;
  app.add_option("--profile", options.profile.profile, "Profile name (default: \"default\")");
  app.add_option("--profile-dir", options.profile.profile_dir,
                 "Profile directory, instead of a name");
  app.add_option("--ipython-dir", options.profile.ipython_dir,
                 "Where the profiles are (~/.ipython)");
  app.add_option("--cluster-id", options.profile.cluster_id, "Id of the cluster in its profile");
  add_connection_options(app, raw);
  app.add_option("-c,--startup-command", options.startup_command, "Python code to run at start");
  app.add_option("-s,--startup-script", options.startup_script, "Python file to run at start");
  app.add_option("--work-dir", options.work_dir, "Working directory");
  app.add_option("--output-limit", raw.output_mib,
                 "MiB of text that one request may print; the rest is not shown; 0: any (64)")
      ->check(CLI::Range(0, 1'000'000));
  app.add_flag("--init", options.init_profile,
               "Make the profile with its default configuration files, where there are none");
  app.add_option(
         "--mpi", raw.mpi,
         "Initialise MPI first, with mpi4py, pytrilinos or another module; the id is the rank")
      ->expected(0, 1)
      ->type_name("[MODULE]");
  app.add_option(
      "--init-mpi", options.init_mpi,
      "With --mpi: code to run when MPI is there, instead of setting mpi_rank, mpi_size");
  app.add_option("--python", options.python,
                 "Python to run, or the directory of its environment (default: the active one's)")
      ->type_name("PATH");
  add_life_options(app, raw);
  app.add_option("--resources", raw.resources,
                 "What the engine has for tasks that need some, e.g. gpu=2,mem=16");
  app.add_option("--gpus", options.gpus,
                 "GPUs of this engine, e.g. 0,1: CUDA_VISIBLE_DEVICES, and the resource gpu=2");
  app.add_option("--log-level", raw.log_level, "debug, info, warning or error (or 10, 20, 30, 40)");
  app.add_flag("--debug", raw.debug, "Same as --log-level=debug");
  app.add_flag("--quiet", raw.quiet, "Same as --log-level=error");
  app.add_flag("--log-to-file", options.log_to_file, "Log to the profile's log directory as well");
  app.add_option("--log-format", options.log_format, "text, or json: a JSON object in each line")
      ->check(CLI::IsMember({"text", "json"}))
      ->envname("IPYFLEET_LOG_FORMAT")
      ->capture_default_str();
  app.add_option("--config", raw.config_file,
                 "One more configuration file (the profile's ipengine_config.py is read anyway)");
  app.add_flag("--no-config")->description("Read no configuration file");
  app.set_version_flag("--version", std::string(IPF_VERSION));
  app.footer(examples);
  for (CLI::Option* const option : app.get_options()) {
    if (option->get_expected_max() == 1) {
      option->take_last();  // what stands in a file comes first
    }
  }
}

struct Trait {
  std::string class_name{};
  std::string name{};
  std::string value{};
};

/// Takes every `--Class.trait=value` out of the arguments.
std::vector<Trait> take_traits(std::vector<std::string>& arguments) {
  std::vector<Trait> traits;
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const auto equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const auto dot = name.find('.');
    const bool is_trait = name.starts_with("--") && dot != std::string::npos && name.size() > 2 &&
                          name[2] >= 'A' && name[2] <= 'Z';
    if (!is_trait) {
      rest.push_back(argument);
      continue;
    }
    Trait trait{.class_name = name.substr(2, dot - 2), .name = name.substr(dot + 1)};
    if (equals != std::string::npos) {
      trait.value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size() && !arguments[i + 1].starts_with('-')) {
      trait.value = arguments[++i];
    } else {
      trait.value = "True";
    }
    traits.push_back(std::move(trait));
  }
  arguments = std::move(rest);
  return traits;
}

bool is_true(const std::string& text) {
  return text == "True" || text == "true" || text == "1";
}

/// Traits of the reference's engine become plain options; false: nobody here knows it.
bool apply_engine_trait(const Trait& trait, Raw& raw, std::vector<std::string>& arguments) {
  static constexpr std::pair<std::string_view, std::string_view> aliases[] = {
      {"IPEngine.startup_command", "--startup-command"},
      {"IPEngine.startup_script", "--startup-script"},
      {"IPEngine.timeout", "--timeout"},
      {"IPEngine.location", "--location"},
      {"IPEngine.sshserver", "--ssh"},
      {"IPEngine.sshkey", "--sshkey"},
      {"IPEngine.max_heartbeat_misses", "--max-heartbeat-misses"},
      {"IPEngine.wait_for_url_file", "--wait-for-file"},
      {"IPEngine.url_file", "--file"},
      {"IPEngine.url_file_name", "--file"},
      {"IPEngine.registration_url", "--url"},
      {"IPEngine.id", "--id"},
      {"IPEngine.cluster_id", "--cluster-id"},
      {"IPEngine.log_level", "--log-level"},
      {"IPEngine.work_dir", "--work-dir"},
      {"IPEngine.init_mpi", "--init-mpi"},
      {"EngineFactory.timeout", "--timeout"},
      {"EngineFactory.url", "--url"},
      {"Session.session", "--ident"},
      {"Session.username", "--user"},
      {"Session.keyfile", "--keyfile"},
      {"ProfileDir.location", "--profile-dir"},
  };
  const std::string full = trait.class_name + "." + trait.name;
  for (const auto& [name, option] : aliases) {
    if (full == name) {
      arguments.push_back(std::string(option) + "=" + trait.value);
      return true;
    }
  }
  if (full == "IPEngine.use_mpi") {
    raw.options.use_mpi = is_true(trait.value);
  } else if (full == "IPEngine.enable_nanny") {
    raw.options.with_nanny = is_true(trait.value);
  } else if (full == "IPEngine.log_to_file") {
    raw.options.log_to_file = is_true(trait.value);
  } else if (full == "Session.key") {
    raw.key = trait.value;
    raw.key_given = true;
  } else {
    return false;
  }
  return true;
}

std::optional<std::string> take_secret(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (value == nullptr) {
    return std::nullopt;
  }
  std::string text = value;
  // Not only out of the list: /proc/PID/environ shows the block that the process was given.
  std::memset(const_cast<char*>(value), 'x', text.size());
  unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  return text;
}

/// The rank that the MPI launcher tells, before MPI itself is initialised.
std::optional<int> mpi_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"}) {
    const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr) {
      continue;
    }
    int rank = -1;
    const char* const end = value + std::strlen(value);
    if (const auto read = std::from_chars(value, end, rank);
        read.ec == std::errc{} && read.ptr == end && rank >= 0) {
      return rank;
    }
  }
  return std::nullopt;
}

EndNow wrong(const std::string& text) {
  return {.status = 2, .text = "ipengine: " + text + " (see ipengine --help)"};
}

Duration to_duration(double seconds) {
  return Duration(std::llround(std::min(seconds, 86400.0 * 365) * 1e9));
}

std::vector<std::string> split_at_commas(const std::string& text) {
  std::vector<std::string> items;
  std::istringstream in(text);
  for (std::string item; std::getline(in, item, ',');) {
    items.push_back(item);
  }
  return items;
}

/// `gpu=2,mem=16`, and `--gpus`, which implies a number of GPUs; what is wrong with them.
std::optional<std::string> read_resources(const std::string& text, EngineOptions& options) {
  constexpr std::size_t names_max = 16;
  constexpr std::size_t name_bytes_max = 64;
  for (const auto& item : split_at_commas(text)) {
    const auto equals = item.find('=');
    const std::string name = item.substr(0, equals);
    const std::string number = equals == std::string::npos ? "" : item.substr(equals + 1);
    double amount = -1;
    const auto read = std::from_chars(number.data(), number.data() + number.size(), amount);
    if (name.empty() || name.size() > name_bytes_max || read.ec != std::errc{} ||
        read.ptr != number.data() + number.size() || !(amount >= 0) || !std::isfinite(amount)) {
      return "--resources: '" + item + "' is not NAME=NUMBER, e.g. gpu=2";
    }
    options.resources[name] = amount;
  }
  const auto gpus = split_at_commas(options.gpus);
  for (const auto& gpu : gpus) {
    const bool named = !gpu.empty() && std::all_of(gpu.begin(), gpu.end(), [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '/';
    });
    if (!named) {
      return "--gpus: '" + gpu + "' is no number or UUID of a GPU";
    }
  }
  if (!gpus.empty()) {
    options.resources.try_emplace("gpu", static_cast<double>(gpus.size()));
  }
  if (options.resources.size() > names_max) {
    return "--resources has more than 16 names";
  }
  return std::nullopt;
}

/// What does not depend on the parser: secrets, levels, ranks.
std::variant<EngineOptions, EndNow> finish_options(Raw& raw) {
  EngineOptions& options = raw.options;
  options.connection_text = take_secret("IPP_CONNECTION_INFO").value_or("");
  const auto environment_key = take_secret("IPP_SESSION_KEY");
  options.curve_keys = {.public_key = take_secret("IPP_CURVE_PUBLICKEY").value_or(""),
                        .secret_key = take_secret("IPP_CURVE_SECRETKEY").value_or("")};
  options.tunnel = take_secret("IPF_SSH_TUNNEL").value_or("");
  options.curve_server_key = take_secret("IPP_CURVE_SERVERKEY").value_or("");
  if (raw.key_given) {
    options.key = raw.key;
  } else if (!raw.keyfile.empty()) {
    constexpr std::size_t key_bytes_max = 65536;
    auto text = read_text_file(raw.keyfile, key_bytes_max);
    if (!text) {
      return wrong("--keyfile: " + text.error().message);
    }
    const auto from = text->find_first_not_of(" \t\r\n");
    options.key = from == std::string::npos
                      ? ""
                      : text->substr(from, text->find_last_not_of(" \t\r\n") - from + 1);
  } else {
    options.key = environment_key;
  }
  options.log_level_given = raw.debug || raw.quiet || !raw.log_level.empty();
  const auto level = parse_log_level(raw.debug               ? "debug"
                                     : raw.quiet             ? "error"
                                     : raw.log_level.empty() ? "info"
                                                             : raw.log_level);
  if (!level) {
    return wrong(level.error().message);
  }
  options.log_level = *level;
  if (const auto problem = read_resources(raw.resources, options)) {
    return wrong(*problem);
  }
  options.restart = raw.restart == "on-failure" ? RestartMode::on_failure : RestartMode::never;
  if (!raw.memory_limit.empty()) {
    const auto bytes = parse_bytes(raw.memory_limit);
    if (!bytes || *bytes == 0) {
      return wrong("--memory-limit: '" + raw.memory_limit + "' is no size like 500M or 4G");
    }
    options.memory_limit = *bytes;
  }
  options.output_bytes_max = raw.output_mib << 20U;
  options.profile = with_environment(options.profile);
  options.registration_timeout = to_duration(raw.timeout_seconds);
  options.wait_for_file = to_duration(raw.wait_seconds);
  options.reconnect_timeout = to_duration(raw.reconnect_seconds);
  if (raw.id >= 0) {
    options.wanted_id = EngineId{raw.id};
  }
  if (options.use_mpi && !options.wanted_id) {
    if (const auto rank = mpi_rank()) {
      options.wanted_id = EngineId{*rank};
    }
  }
  constexpr std::size_t ident_bytes_max = 200;
  if (options.ident.size() > ident_bytes_max) {
    return wrong("--ident has more than 200 characters");
  }
  return std::move(options);
}

}  // namespace

std::variant<EngineOptions, EndNow> parse_engine_options(
    const std::vector<std::string>& arguments) {
  Raw raw;
  std::vector<std::string> rest = arguments;
  for (const auto& trait : take_traits(rest)) {
    if (!apply_engine_trait(trait, raw, rest)) {
      raw.options.traits[trait.class_name][trait.name] = trait.value;
    }
  }
  CLI::App app{"Runs Python code for the clients of an ipyfleet or ipyparallel cluster.",
               "ipengine"};
  add_options(app, raw);
  try {
    std::reverse(rest.begin(), rest.end());  // as CLI11 wants it
    app.parse(rest);
  } catch (const CLI::Success& done) {
    std::ostringstream out;
    std::ostringstream ignored;
    app.exit(done, out, ignored);
    return EndNow{.status = 0, .text = out.str()};
  } catch (const CLI::ParseError& failure) {
    return wrong(failure.what());
  }
  if (app.count("--mpi") > 0) {
    raw.options.use_mpi = true;
    raw.options.mpi_module = raw.mpi;
  }
  return finish_options(raw);
}

}  // namespace ipf::engine
