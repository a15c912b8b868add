#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "net/socket.hpp"
#include "protocol/curve.hpp"
#include "scheduler/backlog.hpp"
#include "scheduler/load_scheme.hpp"
#include "store/open_store.hpp"

namespace ipf {

struct ControllerOptions {
  ProfilePaths paths{};
  std::string client_ip{"127.0.0.1"};
  std::string engine_ip{"127.0.0.1"};
  std::string location{};  ///< empty: this host's name
  std::string ssh{};       ///< tunnel server written into the client file
  std::string engine_ssh{};
  std::string ports{};         ///< common pool, "10101-10110,10120"
  std::string client_ports{};  ///< used first for client sockets
  std::string engine_ports{};  ///< used first for engine sockets
  int registration_port{};     ///< 0: from the pools
  std::string key{};           ///< empty: a fresh random one
  bool curve{false};           ///< encrypt everything; with reuse also if the last run did
  CurveKeyPair curve_keys{};   ///< empty: fresh ones, or with reuse those of the last time
  bool secure{true};           ///< false: no signatures; refused unless both ips are loopback
  bool insecure_known{false};  ///< no signatures on any address: the user insists
  bool reuse{false};           ///< take ports and key from existing files and keep them at exit
  /// Go on where the last controller of this profile and cluster id was: its engines, its queue.
  bool restore{false};
  /// With reuse or restore: another key than last time, and another pair of keys for curve. Who has
  /// only the old files is cut off.
  bool new_keys{false};
  bool journal{false};        ///< write the task queue to disk, so that a later one can restore it
  Backlog::Limits backlog{};  ///< of unanswered load-balanced requests
  bool keep_results{true};    ///< false: results that went to their client are not recorded
  std::size_t db_query_limit{100'000};  ///< most records in one answer
  StoreOptions store{};  ///< an SQLite file without directory is in the profile directory
  /// With an old key (reuse, restore, a given one): how much older than the start a request's date
  /// may be; a message recorded under the same key earlier could be sent again. Covers slow clocks
  /// and what was sent meanwhile.
  Duration replay_window{std::chrono::seconds(600)};
  NetLimits net{};
  SchemeName scheme{SchemeName::leastload};
  std::uint32_t hwm{1};
  std::uint32_t poison_limit{3};  ///< engines that a task may kill; 0: any number
  Duration heartbeat_period{std::chrono::milliseconds(3000)};
  int heartbeat_misses_max{10};
  Duration registration_timeout{std::chrono::seconds(30)};
};

/// A whole controller: hub, task scheduler and relays, each in a thread of its own, in this
/// process.
///
/// If one of the threads ends by an error the controller stops as a whole: half a controller that
/// looks alive is worse than none.
class Controller {
 public:
  /// Binds every socket and writes the connection files, so that a peer which sees a file can
  /// connect at once. Fails with one sentence that names the cause.
  static Result<std::unique_ptr<Controller>> start(const ControllerOptions& given, Log& log);

  /// Ends `old` and starts it again at once, with new keys: on its ports, with its engines and
  /// its tasks, for which it has to keep a journal. `given` is what it was started with. All its
  /// connections are closed; who can read the new connection files comes back, nobody else.
  static Result<std::unique_ptr<Controller>> renew_keys(std::unique_ptr<Controller> old,
                                                        const ControllerOptions& given,
                                                        Log& log);

  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;
  /// Stops the threads and removes the connection files (unless reuse).
  ~Controller();

  /// Readable when the controller wants to end: a client asked for it, or a thread failed.
  [[nodiscard]] int finished_fd() const;
  /// One line with the figures that a status_request gets, in the log.
  void log_status();
  /// True when a thread failed.
  [[nodiscard]] bool failed() const;

 private:
  struct Parts;
  explicit Controller(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ipf
