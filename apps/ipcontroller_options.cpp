#include "apps/ipcontroller_options.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "controller/listen_plan.hpp"

namespace ipf {

void declare_options(CLI::App& app, ControllerArguments& to) {
  auto& options = to.controller;
  add_profile_options(app, to.profile);
  add_log_options(app, to.log);
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
  app.add_option("--spill-above", options.backlog.spill_above,
                 "Bytes of unanswered tasks in memory; beyond, large buffers go to disk")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--client-backlog", options.backlog.client_max,
                 "Bytes of unanswered tasks of one client; then it has to wait")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--backlog", options.backlog.all_max,
                 "Bytes of unanswered tasks of all clients; then they have to wait")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_flag("--journal", options.journal,
               "Write the task queue to disk as it changes, so that --restore can go on with it "
               "after a crash (default with --sqlitedb)");
  app.add_flag("--restore,--IPController.restore_engines", options.restore,
               "Go on where the last controller of this cluster stopped or was killed: same ports "
               "and key, its engines, and its tasks if it kept a journal");
  declare_security_options(app, to);
  declare_database_options(app, to);
  app.add_flag("--usethreads", to.use_threads,
               "Accepted for compatibility: schedulers are always threads");
}

void declare_database_options(CLI::App& app, ControllerArguments& to) {
  auto& store = to.controller.store;
  app.add_flag("--dictdb", to.dict_db, "Keep task records in memory, within limits (default)");
  app.add_flag("--sqlitedb", to.sqlite_db, "Keep task records in an SQLite file");
  app.add_flag("--mongodb", to.mongo_db, "Keep task records in MongoDB");
  app.add_flag("--nodb", to.no_db, "Keep no task records");
  app.add_option("--db,--IPController.db_class", to.db_class,
                 "The same by name: dictdb, sqlitedb, mongodb or nodb");
  app.add_option("--keep-results,--IPController.keep_results", to.keep_results,
                 "all: records have the results, for get_result of other clients; none: not those "
                 "that went to their client")
      ->capture_default_str()
      ->check(CLI::IsMember({"all", "none"}));
  app.add_option("--IPController.db_query_limit", to.controller.db_query_limit,
                 "Most records in the answer to one db_query")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--DictDB.record_limit", store.dict.record_limit,
                 "Most task records in memory; beyond, the oldest finished ones go")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000));
  app.add_option("--DictDB.size_limit", store.dict.size_limit,
                 "Most bytes of task records in memory")
      ->capture_default_str()
      ->check(CLI::Range(std::uint64_t{65'536}, std::uint64_t{1} << 50U));
  app.add_option("--DictDB.cull_fraction", store.dict.cull_fraction,
                 "Part of the limit that is freed when it is reached")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--SQLiteDB.filename", to.sqlite_filename, "File of the SQLite database")
      ->capture_default_str();
  app.add_option("--SQLiteDB.location", to.sqlite_location,
                 "Directory of the SQLite database (default: the profile directory)");
  app.add_option("--SQLiteDB.table", store.sqlite.table, "Table of the SQLite database")
      ->capture_default_str();
  app.add_option("--MongoDB.uri,--MongoDB.connection_args", store.mongo.uri,
                 "Where the MongoDB server is; with a password, give it by the environment")
      ->capture_default_str()
      ->envname("IPYFLEET_MONGODB_URI");
  app.add_option("--MongoDB.database", store.mongo.database, "Database in MongoDB")
      ->capture_default_str();
  app.add_option("--MongoDB.collection", store.mongo.collection, "Collection in MongoDB")
      ->capture_default_str();
}

namespace {

/// `sqlitedb`, and the class names of ipyparallel: `ipyparallel.controller.sqlitedb.SQLiteDB`.
std::optional<StoreKind> store_kind(std::string name) {
  name = name.substr(name.rfind('.') + 1);
  std::ranges::transform(name, name.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const auto& [known, kind] : {std::pair{"dictdb", StoreKind::dict},
                                    {"sqlitedb", StoreKind::sqlite},
                                    {"mongodb", StoreKind::mongo},
                                    {"nodb", StoreKind::none}}) {
    if (name == known) {
      return kind;
    }
  }
  return std::nullopt;
}

Result<StoreOptions> resolve_store(const ControllerArguments& from) {
  StoreOptions store = from.controller.store;
  std::vector<std::string> names;
  for (const auto& [given, name] :
       {std::pair{from.dict_db, "dictdb"},
        {from.sqlite_db, "sqlitedb"},
        {from.mongo_db, "mongodb"},
        {from.no_db, "nodb"}}) {
    if (given) {
      names.emplace_back(name);
    }
  }
  if (!from.db_class.empty()) {
    names.push_back(from.db_class);
  }
  if (names.size() > 1) {
    return unexpected(ErrorCode::invalid_argument,
                      "more than one database is named: " + names[0] + ", " + names[1]);
  }
  if (!names.empty()) {
    const auto kind = store_kind(names[0]);
    if (!kind) {
      return unexpected(
          ErrorCode::invalid_argument,
          "unknown database '" + names[0] + "'; known are dictdb, sqlitedb, mongodb and nodb");
    }
    store.kind = *kind;
  }
  if (from.sqlite_filename.empty() || store.sqlite.table.empty()) {
    return unexpected(ErrorCode::invalid_argument,
                      "SQLiteDB.filename and SQLiteDB.table must not be empty");
  }
  store.sqlite.file = from.sqlite_location.empty()
                          ? std::filesystem::path(from.sqlite_filename)
                          : std::filesystem::absolute(from.sqlite_location) / from.sqlite_filename;
  return store;
}

}  // namespace

Result<ControllerOptions> resolve_options(ControllerArguments& from) {
  auto& options = from.controller;
  auto paths = locate_profile(with_environment(from.profile));
  if (!paths) {
    return unexpected(paths.error());
  }
  options.paths = *paths;
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
  options.journal =
      options.journal || options.restore || options.store.kind == StoreKind::sqlite;
  return options;
}

}  // namespace ipf
