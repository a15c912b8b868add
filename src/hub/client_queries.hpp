#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "hub/engine_table.hpp"
#include "hub/hub_events.hpp"
#include "hub/store.hpp"
#include "hub/task_ledger.hpp"
#include "protocol/requests.hpp"

namespace ipf {

/// Answers what clients ask the hub (protocol.md 4.4) from the engine table, the ledger and the
/// store. Every request gets exactly one reply; a failure becomes the content of the usual reply
/// where the client expects it there (result, history, db, purge, resubmit), else a hub_error.
///
/// Owns no state but the counter of resubmitted tasks; table, ledger and store are borrowed from
/// the HubMachine that owns this object. One thread (the hub's). Pure.
class ClientQueries {
 public:
  ClientQueries(std::string session_id,
                const EngineTable& engines,
                TaskLedger& ledger,
                Store& store)
      : session_id_(std::move(session_id)), engines_(engines), ledger_(ledger), store_(store) {}

  void answer(const Message& to, const ConnectionRequest& request, HubActions& actions);
  void answer(const Message& to, const QueueRequest& request, HubActions& actions);
  void answer(const Message& to, const LoadRequest& request, HubActions& actions);
  void answer(const Message& to, const ResultRequest& request, HubActions& actions);
  void answer(const Message& to, const HistoryRequest& request, HubActions& actions);
  void answer(const Message& to, const DbRequest& request, HubActions& actions);
  void answer(const Message& to, const PurgeRequest& request, HubActions& actions);
  void answer(const Message& to,
              const ResubmitRequest& request,
              TimePoint now,
              HubActions& actions);

  /// The reply that says what went wrong.
  static void fail(const Message& to,
                   std::string msg_type,
                   const RemoteFailure& failure,
                   HubActions& actions);

 private:
  using Engines = std::vector<EngineTable::Engine>;
  using Failure = std::optional<RemoteFailure>;
  /// What goes into a result_reply.
  struct Results {
    Json by_msg_id = Json::object();
    Json pending = Json::array();
    Json completed = Json::array();
    std::vector<SharedBytes> buffers{};
  };

  Failure find_targets(const std::optional<std::vector<EngineName>>& names, Engines& out) const;
  Failure add_result(const std::string& msg_id, bool status_only, Results& results) const;
  Failure add_stored_result(const std::string& msg_id,
                            bool finished,
                            bool status_only,
                            Results& results) const;
  Failure purge(const PurgeRequest& request);
  /// The request as the task queue is to get it: no identities, no signature.
  [[nodiscard]] Message copy_for_resubmission(const TaskRecord& record) const;
  [[nodiscard]] RemoteFailure no_records() const;

  const std::string session_id_;
  const EngineTable& engines_;
  TaskLedger& ledger_;
  Store& store_;
  std::uint64_t resubmitted_{};
};

}  // namespace ipf
