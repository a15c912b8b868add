#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "engine/engine_events.hpp"

namespace ipf::engine {

/// What an engine has been asked to do, and the order in which it does it. Pure; every call appends
/// what is to be done to `actions`.
///
/// It begins closed: requests wait until the shell is there. Once closed again it takes nothing
/// more, drops what waits (the hub tells the clients), and only what runs may still end.
///
/// Invariants: at most one request runs; requests run in arrival order; each token gets
/// PublishBusy, one reply (or none, for messages that ask for nothing) and PublishIdle in this
/// order, unless the queue is closed before; an abort never touches what runs. Ids to abort that
/// are not here are remembered, the last `abort_ids_max` of them, for a request that comes later.
class WorkQueue {
 public:
  struct Options {
    std::size_t queue_max{1'000'000};
    std::size_t abort_ids_max{65536};
  };
  explicit WorkQueue(const Options& options) : options_(options) {}

  void open(Actions& actions);
  void close();

  void add(const RequestArrived& event, Actions& actions);
  void finish(const RequestFinished& event, Actions& actions);
  void abort(const Abort& request, Actions& actions);
  /// Before anything else that waits.
  void clear_namespace(RequestToken token, Actions& actions);
  void interrupt(Actions& actions) const;

  /// Its reply tells the outcome: "unknown" (not here; it will be aborted should it arrive),
  /// "dequeued", "interrupted" (it failed in time), "finished" (all the same), or what
  /// settle_cancels() says.
  void cancel(RequestToken token, const Cancel& request, TimePoint now, Actions& actions);
  void settle_cancels(const std::string& outcome, Actions& actions);
  /// What runs should have ended because of its cancel.
  [[nodiscard]] bool has_late_cancel(TimePoint now) const { return now >= next_deadline(); }
  [[nodiscard]] TimePoint next_deadline() const;

  /// What runs fails with this error, if the queue is open; nothing is left.
  void end_at_once(const std::string& evalue, Actions& actions);

  [[nodiscard]] bool is_open() const { return open_; }
  [[nodiscard]] bool busy() const { return running_.has_value(); }
  [[nodiscard]] std::size_t queued() const { return queue_.size() + clears_.size(); }
  /// Ends the process when a promise of the class comment is broken.
  void check_invariants() const;

 private:
  struct Queued {
    RequestToken token{};
    RequestKind kind{RequestKind::native};
    std::string msg_id{};
  };
  struct CancelWait {
    RequestToken token{};
    TimePoint deadline{TimePoint::never()};
  };
  /// Ids to abort that have not arrived; forgets the oldest beyond its bound.
  class AbortIds {
   public:
    void add(const std::string& id, bool moved, std::size_t most);
    /// Whether its abort said `moved`; nothing if there was no abort.
    std::optional<bool> take(const std::string& id);
    void clear();
    [[nodiscard]] bool empty() const { return ids_.empty(); }
    [[nodiscard]] std::size_t remembered() const { return order_.size(); }

   private:
    std::unordered_map<std::string, bool> ids_{};
    std::deque<std::string> order_{};  ///< may name ids that were taken since
  };

  void start_next(Actions& actions);
  std::vector<RequestToken> take_executes();

  const Options options_;
  bool open_{};
  std::optional<RequestToken> running_{};
  std::string running_msg_id_{};
  std::vector<CancelWait> cancels_{};  ///< of the request that runs
  std::deque<RequestToken> clears_{};  ///< run before the queue goes on
  std::deque<Queued> queue_{};
  AbortIds abort_ids_{};
};

}  // namespace ipf::engine
