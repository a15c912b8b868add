#include "apps/ipcontroller_options.hpp"

#include <chrono>
#include <cstdint>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>

#include "controller/listen_plan.hpp"

namespace ipf {

void declare_options(CLI::App& app, ControllerArguments& to) {
  auto& options = to.controller;
  add_profile_options(app, to.profile);
  add_log_options(app, to.log);
  add_config_options(app, to.config_file);
  app.add_option("--work-dir", to.work_dir, "Working directory");
  app.add_option("--ip,--IPController.ip", to.ip,
                 "Address to listen on for clients and engines (default 127.0.0.1)");
  app.add_option("--client-ip,--IPController.client_ip", options.client_ip,
                 "Address to listen on for clients");
  app.add_option("--engine-ip,--IPController.engine_ip", options.engine_ip,
                 "Address to listen on for engines");
  app.add_option(
      "--location,--IPController.location", options.location,
      "Host name or address under which other hosts reach this one (default: its host name)");
  app.add_option("--ssh,--IPController.ssh_server", options.ssh,
                 "SSH server through which clients tunnel");
  app.add_option("--enginessh,--IPController.engine_ssh_server", options.engine_ssh,
                 "SSH server through which engines tunnel");
  app.add_option("--ports,--IPController.ports", options.ports,
                 "Ports to use, e.g. 10101-10120,10130 (default: random)");
  app.add_option("--client-ports,--IPController.client_ports", options.client_ports,
                 "Ports for the clients' sockets");
  app.add_option("--engine-ports,--IPController.engine_ports", options.engine_ports,
                 "Ports for the engines' sockets");
  app.add_option("--port,--engine-port", options.registration_port, "Port for registration")
      ->check(CLI::Range(1, 65535));
  app.add_option("--scheme,--TaskScheduler.scheme_name", to.scheme,
                 "leastload, lru, plainrandom, twobin, weighted, pure or none")
      ->capture_default_str();
  app.add_option("--hwm,--TaskScheduler.hwm", options.hwm,
                 "Most unfinished tasks on an engine; 0: no limit")
      ->capture_default_str();
  app.add_option("--broadcast-depth,--IPController.broadcast_scheduler_depth", to.broadcast_depth,
                 "Accepted for compatibility: one scheduler broadcasts to all engines")
      ->check(CLI::Range(0, 10));
  app.add_option("--poison-limit", options.poison_limit,
                 "Engines that may die while they run a task before it is given up; 0: any number")
      ->capture_default_str();
  app.add_option("--ping,--HeartMonitor.period", to.ping_ms, "Heartbeat period in milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(10, 3'600'000));
  app.add_option("--HeartMonitor.max_heartmonitor_misses", options.heartbeat_misses_max,
                 "Silent periods after which an engine is lost")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000));
  app.add_option("--IPController.registration_timeout", to.registration_timeout,
                 "Seconds for an engine to complete its registration")
      ->capture_default_str()
      ->check(CLI::Range(0.1, 1e6));
  app.add_flag("--reuse,--IPController.reuse_files", options.reuse,
               "Take ports and key from existing connection files and keep these");
  declare_restart_options(app, to);
  declare_security_options(app, to);
  declare_database_options(app, to);
  app.add_flag("--usethreads", to.use_threads,
               "Accepted for compatibility: schedulers are always threads");
  take_last_values(app);
}

Result<ControllerOptions> resolve_options(ControllerArguments& from) {
  auto& options = from.controller;
  auto paths = locate_profile(with_environment(from.profile));
  if (!paths) {
    return unexpected(paths.error());
  }
  options.paths = *paths;
  if (!from.work_dir.empty() && chdir(from.work_dir.c_str()) != 0) {
    return unexpected(ErrorCode::io, "cannot enter the directory " + from.work_dir);
  }
  const auto scheme = parse_scheme(from.scheme);
  if (!scheme) {
    return unexpected(scheme.error());
  }
  options.scheme = *scheme;
  auto store = resolve_store(from);
  if (!store) {
    return unexpected(store.error());
  }
  options.store = std::move(*store);
  options.keep_results = from.keep_results == "all";
  options.heartbeat_period = std::chrono::milliseconds(from.ping_ms);
  options.registration_timeout =
      Duration{static_cast<std::int64_t>(from.registration_timeout * 1e9)};
  options.replay_window = Duration{static_cast<std::int64_t>(from.replay_window * 1e9)};
  options.net.handshake_time = Duration{static_cast<std::int64_t>(from.handshake_timeout * 1e9)};
  if (!from.ip.empty()) {
    options.client_ip = from.ip;
    options.engine_ip = from.ip;
  }
  for (const auto* ports : {&options.ports, &options.client_ports, &options.engine_ports}) {
    if (const auto parsed = PortPool::parse(*ports); !parsed) {
      return unexpected(parsed.error());
    }
  }
  auto key = session_key(from.keyfile);
  if (!key) {
    return unexpected(key.error());
  }
  options.key = *key;
  options.curve_keys = {.public_key = take_variable("IPP_CURVE_PUBLICKEY"),
                        .secret_key = take_variable("IPP_CURVE_SECRETKEY")};
  options.journal = options.journal || options.restore || options.store.kind == StoreKind::sqlite;
  return options;
}

}  // namespace ipf
