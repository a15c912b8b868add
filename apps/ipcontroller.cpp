// The controller of a cluster: hub, task scheduler and relays in one process.
#include <poll.h>

#include <csignal>
#include <cstdlib>
#include <array>
#include <cerrno>
#include <cstring>

#include <CLI/CLI.hpp>

#include "apps/options.hpp"
#include "controller/controller.hpp"
#include "net/signals.hpp"

namespace {

constexpr const char* examples = R"(Examples:
  ipcontroller                                  listen on this machine only, default profile
  ipcontroller --ip=0.0.0.0 --location=host0    let engines and clients of other hosts connect
  ipcontroller --scheme=lru --hwm=2             another scheduling scheme, two tasks an engine at once
  ipcontroller --cluster-id=big --profile=mpi   a second cluster beside the first

The files that engines and clients need appear in <profile>/security when everything listens.
Exit status: 0 stopped by a signal or a client, 1 it could not start or failed, 2 wrong command line.)";

struct Arguments {
  ipf::ControllerOptions controller{};
  ipf::ProfileOptions profile{};
  ipf::LogChoice log{};
  std::string ip{};
  std::string scheme{"leastload"};
  std::string keyfile{};
  bool use_threads{true};
  int ping_ms{3000};
  double registration_timeout{30};
};

void declare(CLI::App& app, Arguments& to) {
  auto& options = to.controller;
  ipf::add_profile_options(app, to.profile);
  ipf::add_log_options(app, to.log);
  app.add_option("--ip,--IPController.ip", to.ip, "Address to listen on for clients and engines (default 127.0.0.1)");
  app.add_option("--client-ip,--IPController.client_ip", options.client_ip, "Address to listen on for clients");
  app.add_option("--engine-ip,--IPController.engine_ip", options.engine_ip, "Address to listen on for engines");
  app.add_option("--location,--IPController.location", options.location,
                 "Host name or address under which other hosts reach this one (default: its host name)");
  app.add_option("--ssh,--IPController.ssh_server", options.ssh, "SSH server through which clients tunnel");
  app.add_option("--enginessh,--IPController.engine_ssh_server", options.engine_ssh, "SSH server through which engines tunnel");
  app.add_option("--ports,--IPController.ports", options.ports, "Ports to use, e.g. 10101-10120,10130 (default: random)");
  app.add_option("--client-ports,--IPController.client_ports", options.client_ports, "Ports for the clients' sockets");
  app.add_option("--engine-ports,--IPController.engine_ports", options.engine_ports, "Ports for the engines' sockets");
  app.add_option("--port,--engine-port", options.registration_port, "Port for registration")->check(CLI::Range(1, 65535));
  app.add_option("--scheme,--TaskScheduler.scheme_name", to.scheme,
                 "leastload, lru, plainrandom, twobin, weighted, pure or none")->capture_default_str();
  app.add_option("--hwm,--TaskScheduler.hwm", options.hwm, "Most unfinished tasks on an engine; 0: no limit")->capture_default_str();
  app.add_option("--ping,--HeartMonitor.period", to.ping_ms, "Heartbeat period in milliseconds")
      ->capture_default_str()->check(CLI::Range(10, 3'600'000));
  app.add_option("--HeartMonitor.max_heartmonitor_misses", options.heartbeat_misses_max,
                 "Silent periods after which an engine is lost")->capture_default_str()->check(CLI::Range(1, 1'000'000));
  app.add_option("--IPController.registration_timeout", to.registration_timeout,
                 "Seconds for an engine to complete its registration")->capture_default_str()->check(CLI::Range(0.1, 1e6));
  app.add_flag("--reuse,--IPController.reuse_files", options.reuse, "Take ports and key from existing connection files and keep these");
  app.add_option("--keyfile,--Session.keyfile", to.keyfile, "File with the key that signs all messages (default: a random key)");
  app.add_flag("--secure,!--no-secure", options.secure, "Sign all messages (default)");
  app.add_flag("--dictdb,!--nodb", options.keep_records, "Keep task records in memory (default), or none");
  app.add_flag("--usethreads", to.use_threads, "Accepted for compatibility: schedulers are always threads");
}

/// What the command line says in a form that the controller takes.
ipf::Result<ipf::ControllerOptions> resolve(Arguments& from) {
  auto& options = from.controller;
  auto paths = ipf::locate_profile(ipf::with_environment(from.profile));
  if (!paths) {
    return ipf::unexpected(paths.error());
  }
  options.paths = *paths;
  const auto scheme = ipf::parse_scheme(from.scheme);
  if (!scheme) {
    return ipf::unexpected(scheme.error());
  }
  options.scheme = *scheme;
  options.heartbeat_period = std::chrono::milliseconds(from.ping_ms);
  options.registration_timeout = ipf::Duration{static_cast<std::int64_t>(from.registration_timeout * 1e9)};
  if (!from.ip.empty()) {
    options.client_ip = from.ip;
    options.engine_ip = from.ip;
  }
  auto key = ipf::session_key(from.keyfile);
  if (!key) {
    return ipf::unexpected(key.error());
  }
  options.key = *key;
  return options;
}

int serve(const ipf::ControllerOptions& options, ipf::Log& log) {
  ipf::block_signals({SIGINT, SIGTERM, SIGHUP});
  std::signal(SIGPIPE, SIG_IGN);
  ipf::SignalFd signals({SIGINT, SIGTERM, SIGHUP});
  const auto controller = ipf::Controller::start(options, log);
  if (!controller) {
    return ipf::complain("ipcontroller", controller.error());
  }
  std::array<pollfd, 2> waiting{pollfd{signals.fd(), POLLIN, 0}, pollfd{(*controller)->finished_fd(), POLLIN, 0}};
  while (poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
  }
  if (const int signal = signals.take(); signal != 0) {
    log.info(std::string("stopping on signal ") + strsignal(signal));
  }
  return (*controller)->failed() ? EXIT_FAILURE : EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("ipcontroller: the meeting point of a cluster's engines and clients", "ipcontroller");
  app.footer(examples);
  app.set_version_flag("--version", IPF_VERSION);
  Arguments arguments;
  declare(app, arguments);
  if (const auto status = ipf::parse_command_line(app, argc, argv)) {
    return *status;
  }
  const auto options = resolve(arguments);
  if (!options) {
    ipf::complain("ipcontroller", options.error());
    return ipf::usage_error;
  }
  const auto log = ipf::open_log("IPController", arguments.log, options->paths, "ipcontroller");
  return log ? serve(*options, **log) : ipf::complain("ipcontroller", log.error());
}
