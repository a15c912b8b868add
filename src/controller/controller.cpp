#include "controller/controller.hpp"

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/broadcast_reactor.hpp"
#include "controller/crew.hpp"
#include "controller/curve_keys.hpp"
#include "controller/hub_reactor.hpp"
#include "controller/instance_lock.hpp"
#include "controller/listen_plan.hpp"
#include "controller/relay_reactor.hpp"
#include "controller/task_reactor.hpp"
#include "core/check.hpp"
#include "core/text.hpp"
#include "net/address.hpp"
#include "protocol/connection_file.hpp"

namespace ipf {

namespace {

Result<std::unique_ptr<Store>> make_store(const ControllerOptions& options, Log& log) {
  StoreOptions store = options.store;
  store.sqlite.file = options.paths.dir / store.sqlite.file;
  return open_store(store, log);
}

HubReactor::Options hub_options(const ControllerOptions& options) {
  HubReactor::Options out;
  out.hub.queries.session_id = new_session_id();
  out.hub.queries.keep_results = options.keep_results;
  out.hub.queries.records_max = options.db_query_limit;
  out.hub.heartbeat_period = options.heartbeat_period;
  out.hub.new_key = options.new_keys;
  out.hub.engines.registration_timeout = options.registration_timeout;
  out.hearts.period = options.heartbeat_period;
  out.hearts.misses_max = static_cast<std::uint32_t>(options.heartbeat_misses_max);
  out.engine_state_file = options.paths.log() / ("engines" + options.paths.cluster_id + ".json");
  return out;
}

/// Not to be guessed from outside: it also keys the hashes of msg_ids.
std::uint64_t random_seed() {
  return std::stoull(random_hex(sizeof(std::uint64_t)), nullptr, 16);
}

std::filesystem::path journal_path(const ControllerOptions& options) {
  return options.paths.log() / ("tasks" + options.paths.cluster_id + ".journal");
}

/// What an earlier controller's journal says (--restore), and a seed.
Result<JournalContents> known_before(const ControllerOptions& options) {
  JournalContents known;
  if (options.restore) {
    auto read = TaskJournal::read(journal_path(options));
    if (!read) {
      return read;
    }
    known = std::move(*read);
  }
  if (!known.seed) {
    known.seed = random_seed();
  }
  return known;
}

TaskMachineOptions task_options(const ControllerOptions& options, std::uint64_t seed) {
  return {.scheme = options.scheme,
          .hwm = options.hwm,
          .seed = seed,
          .poison_limit = options.poison_limit};
}

}  // namespace

struct Controller::Parts {
  Parts(const ControllerOptions& given,
        Log& sink,
        InstanceLock held,
        Signer keyed,
        std::unique_ptr<Store> records,
        JournalContents before)
      : options(given),
        log(sink),
        lock(std::move(held)),
        signer(std::move(keyed)),
        context(1, options.net),
        hub(context, signer, seen, hub_options(options), std::move(records), log),
        tasks(options.net, signer, seen, task_options(options, *before.seed), hub.inbox(), log),
        relays(context.limits(), signer, seen, hub.inbox(), log),
        broadcasts(options.net, signer, seen, hub.inbox(), log),
        known(std::move(before)),
        crew(log) {}

  Result<void> listen(ConnectionInfo client, ConnectionInfo engine);
  Result<void> take_pools(const ConnectionInfo& client, const ConnectionInfo& engine);
  template <class Listening>
  Result<void> bind(Listening& socket, const std::string& ip, PortPool& pool, int& port);
  void announce() const;
  /// The journal of the task queue begins with what an earlier one says.
  Result<void> open_journal();
  Result<void> restore_engines();
  void connect_threads();
  void start_threads();

  ControllerOptions options;
  Log& log;
  InstanceLock lock;
  Signer signer;
  SeenSignatures seen{};
  NetContext context;
  HubReactor hub;
  TaskReactor tasks;
  RelayReactor relays;
  BroadcastReactor broadcasts;
  JournalContents known;
  PortPool common_ports{};
  PortPool client_ports{};
  PortPool engine_ports{};
  bool files_written{false};
  Crew crew;  // the last member: its threads use the others
};

template <class Listening>
Result<void> Controller::Parts::bind(Listening& socket,
                                     const std::string& ip,
                                     PortPool& pool,
                                     int& port) {
  auto bound = socket.bind("tcp://" + ip, pool.take(&common_ports));
  if (!bound) {
    return unexpected(bound.error());
  }
  port = *bound;
  return {};
}

Result<void> Controller::Parts::take_pools(const ConnectionInfo& client,
                                           const ConnectionInfo& engine) {
  for (auto [text, pool] :
       {std::pair{&options.ports, &common_ports}, std::pair{&options.client_ports, &client_ports},
        std::pair{&options.engine_ports, &engine_ports}}) {
    auto parsed = PortPool::parse(*text);
    if (!parsed) {
      return unexpected(parsed.error());
    }
    *pool = std::move(*parsed);
  }
  if (options.registration_port != 0) {
    engine_ports.put_first(options.registration_port);
  }
  if (engine.registration !=
      0) {  // --reuse: every socket gets its old port, in the order of listen()
    engine_ports = {};
    client_ports = {};
    std::vector<int> in_order{engine.registration, engine.control, engine.mux,    engine.task,
                              engine.iopub,        engine.hb_ping, engine.hb_pong};
    in_order.insert(in_order.end(), engine.broadcast.begin(), engine.broadcast.end());
    for (auto port = in_order.rbegin(); port != in_order.rend(); ++port) {
      engine_ports.put_first(*port);
    }
    for (const int port :
         {client.broadcast.empty() ? 0 : client.broadcast.front(), client.notification,
          client.iopub, client.task, client.mux, client.control}) {
      client_ports.put_first(port);
    }
  }
  return {};
}

Result<void> Controller::Parts::listen(ConnectionInfo client, ConnectionInfo engine) {
  IPF_TRY(take_pools(client, engine));
  const std::string& engine_ip = options.engine_ip;
  const std::string& client_ip = options.client_ip;
  engine.broadcast.assign(1, 0);
  client.broadcast.assign(1, 0);
  IPF_TRY(bind(hub.registration(), engine_ip, engine_ports, engine.registration));
  client.registration = engine.registration;
  if (client_ip != engine_ip) {
    if (const auto both = hub.registration().bind("tcp://" + client_ip, client.registration);
        !both) {
      return unexpected(both.error());
    }
  }
  IPF_TRY(bind(relays.control().engines(), engine_ip, engine_ports, engine.control));
  IPF_TRY(bind(relays.mux().engines(), engine_ip, engine_ports, engine.mux));
  IPF_TRY(bind(tasks.engines(), engine_ip, engine_ports, engine.task));
  IPF_TRY(bind(relays.iopub_engines(), engine_ip, engine_ports, engine.iopub));
  IPF_TRY(bind(hub.hb_ping(), engine_ip, engine_ports, engine.hb_ping));
  IPF_TRY(bind(hub.hb_pong(), engine_ip, engine_ports, engine.hb_pong));
  IPF_TRY(bind(broadcasts.engines(), engine_ip, engine_ports, engine.broadcast[0]));
  IPF_TRY(bind(relays.control().clients(), client_ip, client_ports, client.control));
  IPF_TRY(bind(relays.mux().clients(), client_ip, client_ports, client.mux));
  IPF_TRY(bind(tasks.clients(), client_ip, client_ports, client.task));
  IPF_TRY(bind(relays.iopub_clients(), client_ip, client_ports, client.iopub));
  IPF_TRY(bind(hub.notification(), client_ip, client_ports, client.notification));
  IPF_TRY(bind(broadcasts.clients(), client_ip, client_ports, client.broadcast[0]));
  for (const Socket* socket :
       {&hub.registration(), &hub.notification(), &hub.hb_ping(), &hub.hb_pong()}) {
    hub.relief().watch(*socket);
  }
  IPF_TRY(open_journal());
  connect_threads();
  IPF_TRY(restore_engines());
  start_threads();
  log.info("Hub listening on tcp://" + client_ip + ":" + std::to_string(client.registration) +
           " for registration.");
  announce();
  const auto& paths = options.paths;
  files_written = true;  // from here on: the client file must not stay if the engine file fails
  log.info("writing connection info to " + paths.client_file().string());
  IPF_TRY(write_connection_file(paths.client_file(), client, PeerRole::client));
  log.info("writing connection info to " + paths.engine_file().string());
  IPF_TRY(write_connection_file(paths.engine_file(), engine, PeerRole::engine));
  return {};
}

void Controller::Parts::announce() const {
  log.info(std::string("Hub using DB backend: ") + hub.store_name());
  log.info("hub::created hub");
  if (options.scheme == SchemeName::pure) {
    log.warning("task::using pure DEALER Task scheduler");
  } else {
    log.info("task::using C++ " + std::string(scheme_text(options.scheme)) + " Task scheduler");
  }
}

Result<void> Controller::Parts::open_journal() {
  const auto path = journal_path(options);
  if (!options.restore) {
    TaskJournal::remove(path);  // of an earlier run: nothing in it is true any more
  }
  if (options.journal) {
    auto journal = TaskJournal::create(path, {}, known);
    if (!journal) {
      return unexpected(journal.error());
    }
    tasks.keep_journal(std::move(*journal));
  }
  tasks.restore(std::move(known));
  tasks.limit(options.backlog, {.directory = options.paths.log()});
  return {};
}

Result<void> Controller::Parts::restore_engines() {
  if (!options.restore) {
    return {};
  }
  auto restored = hub.restore();
  if (!restored && restored.error().code == ErrorCode::not_found) {
    log.warning("registration::no engines to restore: " + restored.error().message);
    return {};
  }
  return restored;
}

void Controller::Parts::connect_threads() {
  hub.connect(
      {.to_tasks = [this](TaskCommand command) { tasks.commands().push(std::move(command)); },
       .to_relays =
           [this](const RelayCommand& command) {
             relays.commands().push(command);
             broadcasts.commands().push(command);
           },
       .stop_controller = [this] { crew.finish(); },
       .queues =
           [this] {
             return std::vector<std::pair<std::string_view, QueueFigures>>{
                 {"task", tasks.figures()},
                 {"mux", relays.mux().figures()},
                 {"control", relays.control().figures()},
                 {"broadcast", broadcasts.figures()},
                 {"iopub", relays.output_figures()}};
           }});
  tasks.connect([this](RelayCommand command) { relays.commands().push(std::move(command)); });
  relays.connect([this](TaskCommand command) { tasks.commands().push(std::move(command)); });
}

void Controller::Parts::start_threads() {
  const auto start = [this](const char* name, auto& reactor) {
    crew.start(
        name, [&reactor](const std::stop_token& stop) { reactor.run(stop); },
        [&reactor] { reactor.wake(); });
  };
  start("hub", hub);
  start("task scheduler", tasks);
  start("relay", relays);
  start("broadcast", broadcasts);
}

Controller::Controller(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Controller::~Controller() {
  // Nobody waits for room in the mailbox of a thread that has ended.
  parts_->hub.inbox().close();
  parts_->tasks.commands().close();
  parts_->relays.commands().close();
  parts_->broadcasts.commands().close();
  parts_->crew.stop();
  if (parts_->files_written && !parts_->options.reuse && !parts_->options.restore) {
    std::error_code ignored;
    std::filesystem::remove(parts_->options.paths.client_file(), ignored);
    std::filesystem::remove(parts_->options.paths.engine_file(), ignored);
  }
}

int Controller::finished_fd() const {
  return parts_->crew.finished_fd();
}

void Controller::log_status() {
  parts_->hub.log_status();
}

bool Controller::failed() const {
  return parts_->crew.failed();
}

namespace {

Result<void> check_exposure(const ControllerOptions& options) {
  if (!options.secure && !options.insecure_known &&
      (!is_loopback(options.client_ip) || !is_loopback(options.engine_ip))) {
    return unexpected(
        ErrorCode::invalid_argument,
        "--no-secure lets anybody on the network run code as you; it is refused unless the "
        "controller listens on 127.0.0.1 only, or --i-know-this-is-insecure is given, too");
  }
  return {};
}

ConnectionInfo basic_info(const ControllerOptions& options, const std::string& key, PeerRole role) {
  ConnectionInfo info;
  const bool client = role == PeerRole::client;
  info.ssh = client ? options.ssh : options.engine_ssh;
  info.interface = "tcp://" + (client ? options.client_ip : options.engine_ip);
  info.location = options.location.empty() ? host_name() : options.location;
  info.key = key;
  info.task_scheme = std::string(scheme_text(options.scheme));
  return info;
}

/// With reuse or restore: what stands in the files of the last controller, if they agree; the key
/// stays as it is for new_keys. False if there is nothing to take.
bool take_earlier(const ControllerOptions& options,
                  ConnectionInfo& client,
                  ConnectionInfo& engine) {
  if (!options.reuse && !options.restore) {
    return false;
  }
  const auto old_client = read_connection_file(options.paths.client_file(), PeerRole::client);
  const auto old_engine = read_connection_file(options.paths.engine_file(), PeerRole::engine);
  const bool agree = old_client && old_engine && old_client->key == old_engine->key &&
                     old_client->registration == old_engine->registration &&
                     old_client->signature_scheme == old_engine->signature_scheme;
  // A file without a key must not switch signatures off behind check_exposure().
  if (!agree || (options.secure && old_client->key.empty())) {
    return false;
  }
  const std::string key = options.new_keys ? client.key : old_client->key;
  client = *old_client;
  engine = *old_engine;
  client.key = engine.key = key;
  return true;
}

}  // namespace

Result<std::unique_ptr<Controller>> Controller::start(const ControllerOptions& given, Log& log) {
  drop_driver_counters();
  ControllerOptions options = given;
  IPF_TRY(check_exposure(options));
  IPF_TRY(make_profile(options.paths));
  auto lock = InstanceLock::take(options.paths.pid() /
                                 ("ipcontroller" + options.paths.dashed_id() + ".lock"));
  if (!lock) {
    return unexpected(lock.error());
  }
  const std::string key =
      options.secure ? (options.key.empty() ? new_session_id() : options.key) : "";
  ConnectionInfo client = basic_info(options, key, PeerRole::client);
  ConnectionInfo engine = basic_info(options, key, PeerRole::engine);
  const bool restarted = take_earlier(options, client, engine);
  const bool key_is_old = !options.key.empty() || (restarted && !options.new_keys);
  if (client.curve_serverkey && !options.curve) {
    log.warning(
        "the last controller encrypted, so this one does, too (its connection file has a "
        "CURVE key); to stop that, start once without --restore and --reuse");
    options.curve = true;
  }
  client.curve_serverkey = engine.curve_serverkey = std::nullopt;
  if (options.curve) {
    auto keys = controller_curve_keys(options);
    if (!keys) {
      return unexpected(keys.error());
    }
    options.net.curve = curve_server(*keys).value();
    options.curve_keys = {};
    client.curve_serverkey = engine.curve_serverkey = keys->public_key;
  }
  auto signer = Signer::create(client.key, client.signature_scheme);
  if (!signer) {
    return unexpected(signer.error());
  }
  if (key_is_old) {
    signer->refuse_before({wall_now().microseconds - options.replay_window.count() / 1000});
  } else if (restarted) {
    signer->refuse_before({});  // an earlier controller's clients may come; no replays of then
  }
  auto store = make_store(options, log);
  if (!store) {
    return unexpected(store.error());
  }
  auto known = known_before(options);
  if (!known) {
    return unexpected(known.error());
  }
  auto parts = std::make_unique<Parts>(options, log, std::move(*lock), std::move(*signer),
                                       std::move(*store), std::move(*known));
  std::unique_ptr<Controller> controller(new Controller(std::move(parts)));
  IPF_TRY(controller->parts_->listen(client, engine));
  return controller;
}

Result<std::unique_ptr<Controller>> Controller::renew_keys(std::unique_ptr<Controller> old,
                                                           const ControllerOptions& given,
                                                           Log& log) {
  IPF_CHECK(given.journal);
  old->parts_->files_written = false;  // the next one takes its ports from them
  old.reset();
  ControllerOptions options = given;
  options.restore = true;
  options.new_keys = true;
  auto renewed = start(options, log);
  if (renewed) {
    (*renewed)->parts_->options.restore = given.restore;
  }
  return renewed;
}

}  // namespace ipf
