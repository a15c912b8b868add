#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipyfleet/result.hpp"
#include "ipyfleet/types.hpp"
#include "ipyfleet/view.hpp"

namespace ipf {

/// Which of the controller's sockets a request takes.
enum class Route {
  engine,    ///< to one engine, behind what it was sent before
  balanced,  ///< to the task scheduler, which chooses the engine
  control,   ///< to one engine, answered while user code runs there
  hub,       ///< a question to the hub
};

/// A request as it goes on the wire (protocol: Jupyter 5.4 messages, signed by the client).
struct RequestSpec {
  Route route{Route::engine};
  std::string_view type{};          ///< "apply_request", "execute_request", "queue_request", ...
  std::string_view engine_uuid{};   ///< for the routes engine and control
  std::string_view metadata{"{}"};  ///< JSON object
  std::string_view content{"{}"};   ///< JSON object
  std::span<const Buffer> buffers{};
};

/// A connection to a controller.
///
/// One thread of its own does all input and output; every function may be called from any thread.
/// Calls throw ClientError. A client must not be used in a forked child: there every call throws
/// `forked`, and destroying it does nothing.
///
/// @code
///   auto client = ipf::Client::connect({.profile = "default"});
///   if (client.wait_for_engines(1, std::chrono::seconds(30))) {
///     const double root = client.balanced().apply<double>("math.sqrt", 2.0).get();
///     const auto pids = client.direct().apply<int>("os.getpid").get();
///   }
/// @endcode
///
/// Views (view.hpp) are what most programs use; send() and what stands near it are the messages
/// themselves.
class Client {
 public:
  /// Connects and waits for the controller's first answer. A timeout of 0 does not wait; then
  /// wait_connected() does.
  explicit Client(const ConnectOptions& options, const ClientLimits& limits = {});
  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  /// As close().
  ~Client();

  /// As the constructor.
  [[nodiscard]] static Client connect(const ConnectOptions& options = {},
                                      const ClientLimits& limits = {});

  /// One engine, several (no ids: all that are registered now), and the task scheduler. Throws
  /// ClientError(invalid_argument) when there is no engine with such an id.
  [[nodiscard]] EngineView engine(int id) const;
  [[nodiscard]] DirectView direct(std::span<const int> ids = {}) const;
  /// As direct(), by way of the broadcast scheduler.
  [[nodiscard]] DirectView broadcasting(std::span<const int> ids = {}) const;
  [[nodiscard]] BalancedView balanced(BalancedOptions options = {}) const;

  /// The engines that are registered now, by rising id.
  [[nodiscard]] std::vector<EngineInfo> engines() const;
  /// Grows whenever the list of engines changes; cheap.
  [[nodiscard]] std::uint64_t engines_version() const;
  /// Waits until the controller has answered for the first time.
  [[nodiscard]] bool wait_connected(Timeout timeout = forever) const;
  /// Waits until `count` engines are registered; false when there are fewer at the end of the time.
  [[nodiscard]] bool wait_for_engines(std::size_t count, Timeout timeout = forever) const;

  /// Sends a request and returns at once.
  Request send(const RequestSpec& spec);
  /// Calls a pickled function on an engine, or on any engine when `engine_uuid` is empty. The
  /// buffers are opaque here; their layout is that of ipyfleet.serialize.pack_apply_message.
  Request apply(std::string_view engine_uuid, std::span<const Buffer> buffers);
  /// Sends one message to several engines by way of the broadcast schedulers. `spec.metadata` has
  /// to name the same engines under "targets"; route and engine_uuid of `spec` do not count.
  /// @return one request for each engine, in the order of `engine_uuids`.
  std::vector<Request> broadcast(const RequestSpec& spec,
                                 std::span<const std::string> engine_uuids);
  /// Runs source text on an engine.
  Request execute(std::string_view engine_uuid, std::string_view code, bool silent = true);

  /// An own request by its id, as long as it is known (ClientLimits::kept_results_max).
  [[nodiscard]] std::optional<Request> find(std::string_view msg_id) const;
  /// Ids of the requests to engines that have no result yet, in order of submission.
  [[nodiscard]] std::vector<std::string> outstanding() const;
  [[nodiscard]] std::size_t outstanding_count() const;
  /// Future::cancel() and Future::abort() for everything that is outstanding, of all views.
  bool cancel_outstanding(Timeout grace = std::chrono::seconds(3)) const;
  void abort_outstanding() const;
  /// Ids of all requests to engines that find() knows, in order of submission.
  [[nodiscard]] std::vector<std::string> history() const;
  /// Makes find() forget a finished request; handles of it stay valid. False when there is none.
  bool forget(std::string_view msg_id);

  [[nodiscard]] const std::string& session() const;
  /// The connection file, or "" when the client was given its text.
  [[nodiscard]] const std::string& file() const;
  [[nodiscard]] bool closed() const;
  /// Ends the connection; what is outstanding ends with the local error "ClientClosed". Takes a
  /// second at most, for requests that libzmq has not put on the wire yet.
  void close();

 private:
  [[nodiscard]] client::Core& core() const;
  std::shared_ptr<client::Core> core_;  ///< views hold it weakly
};

}  // namespace ipf
