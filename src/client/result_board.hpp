#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/client_events.hpp"
#include "client/watch.hpp"
#include "core/clock.hpp"
#include "ipyfleet/result.hpp"
#include "ipyfleet/types.hpp"

namespace ipf::client {

class Core;

/// What all requests of a client have in common.
struct Origin {
  std::string msg_id_prefix{};
  pid_t process{};
  std::weak_ptr<Core> core{};  ///< set before there is a request
};

/// What a handle (ipf::Request) and the board share about one request.
///
/// The first group never changes. The second is written by the IO thread before it sets `done`, and
/// read by others after they have seen `done`. The third belongs to `mutex`.
struct RequestState {
  RequestNumber number{};
  /// For one engine of a broadcast the number in the message that went to all of them.
  std::optional<RequestNumber> broadcast{};
  std::shared_ptr<const Origin> origin{};
  std::string type{};
  std::string target{};
  WallTime submitted{};
  bool listed{false};  ///< a request to engines: part of history and outstanding

  WallTime received{};
  Status status{Status::pending};
  std::optional<Message> reply{};
  RemoteFailure failure{};
  std::atomic<bool> done{false};
  std::atomic<bool> output_done{false};
  std::atomic<bool> cancelled{false};  ///< by any thread; whatever comes later is not looked at

  struct Part {
    std::string type{};
    Message message;
  };
  struct Watcher {
    std::weak_ptr<Watch> watch{};  ///< expired when nobody waits any more
    std::uint32_t index{};
    bool for_output{false};
  };
  std::mutex mutex{};
  std::vector<Part> outputs{};
  bool truncated{false};
  std::vector<Watcher> watchers{};

  [[nodiscard]] std::string msg_id() const;
  /// Tells `watch` when the request has its result (or all its output); at once if it has. Throws
  /// ClientError in a forked child, where nothing would ever come.
  void tell(const std::shared_ptr<Watch>& watch, std::uint32_t index, bool for_output);
};

using StatePtr = std::shared_ptr<RequestState>;

/// Hands what the IO thread finds out to the threads that use the client, once a round.
///
/// Knows all requests that are outstanding, and the last finished ones within the limits. All
/// functions are thread-safe. Nothing here waits for a lock of Python.
class ResultBoard {
 public:
  ResultBoard(const ClientLimits& limits, std::string msg_id_prefix);
  /// What Future::cancel() goes through; before the first request.
  void belongs_to(std::weak_ptr<Core> core) { origin_->core = std::move(core); }

  /// A new request with the next number; throws ClientError when too many are outstanding.
  StatePtr add(std::string type, std::string target, bool listed, WallTime now);
  /// The same for a broadcast, one request for each target. The number of the message itself is
  /// the one before the first of them.
  std::vector<StatePtr> add_broadcast(const std::string& type,
                                      std::span<const std::string> targets,
                                      WallTime now);

  /// Performs the actions that concern callers, in order: CompleteRequest, FailRequest, KeepOutput,
  /// MarkTruncated, EndOutput, PublishEngines. Others are ignored. For the IO thread.
  void publish(ClientActions& actions, WallTime now);
  /// Wakes everybody who waits for engines, for good.
  void close(const std::string& reason);

  [[nodiscard]] StatePtr find(RequestNumber number) const;
  /// The request of a broadcast that went to this engine.
  [[nodiscard]] StatePtr find(RequestNumber broadcast, std::string_view target) const;
  /// Drops a finished request from the table; false when it is not there.
  bool forget(RequestNumber number);
  [[nodiscard]] std::vector<StatePtr> outstanding() const;
  [[nodiscard]] std::size_t outstanding_count() const;
  [[nodiscard]] std::vector<StatePtr> history() const;
  [[nodiscard]] const std::string& msg_id_prefix() const { return origin_->msg_id_prefix; }

  [[nodiscard]] std::vector<EngineInfo> engines() const;
  [[nodiscard]] std::uint64_t engines_version() const { return engines_version_.load(); }
  /// Waits for the first list of engines; false when it did not come in time.
  bool wait_listed(Timeout timeout) const;
  /// Waits for so many engines; false when there are fewer at the end of the time, or it is closed.
  bool wait_engines(std::size_t count, Timeout timeout) const;
  [[nodiscard]] bool closed() const;
  [[nodiscard]] std::string close_reason() const;

 private:
  struct Finished {
    RequestNumber number{};
    std::size_t bytes{};
  };
  using Woken = std::vector<std::shared_ptr<Watch>>;

  void perform(CompleteRequest& action, WallTime now, Woken& woken);
  void perform(FailRequest& action, WallTime now, Woken& woken);
  void perform(KeepOutput& action);
  void perform(const MarkTruncated& action);
  void perform(const EndOutput& action, Woken& woken);
  void perform(const PublishEngines& action);
  void finish(RequestState& state, std::size_t bytes, Woken& woken);
  void drop_oldest();
  void drop(RequestNumber number);
  StatePtr make(std::string type, std::string target, bool listed, WallTime now) const;
  void check_room(std::size_t more) const;
  void insert(const StatePtr& state);
  template <class Wanted>
  [[nodiscard]] std::vector<StatePtr> listed(Wanted wanted) const;
  [[nodiscard]] RequestState* known(RequestNumber number) const;
  template <class Done>
  bool wait_for_engines_until(std::unique_lock<std::mutex>& lock, Timeout timeout, Done done) const;

  const ClientLimits limits_;
  const std::shared_ptr<Origin> origin_;

  mutable std::mutex mutex_;
  RequestNumber next_number_{};
  std::unordered_map<RequestNumber, StatePtr> requests_;
  std::deque<Finished> finished_;
  std::size_t finished_bytes_{};
  std::size_t outstanding_{};
  /// Requests that were dropped from the table while their output was still coming.
  std::unordered_map<RequestNumber, StatePtr> unfinished_outputs_;

  std::vector<EngineInfo> engines_;
  std::atomic<std::uint64_t> engines_version_{0};
  bool listed_{false};
  bool closed_{false};
  std::string close_reason_;
  mutable std::condition_variable engines_changed_;
};

}  // namespace ipf::client
