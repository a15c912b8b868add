#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
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
/// What needs the store is asked there under a token; the reply is made when the answer comes, at
/// once or by take_answer(). A store that does not answer within `answer_timeout` gives an error
/// reply, and so does a question too many.
///
/// Owns the questions that wait and the counter of resubmitted tasks; table, ledger and store are
/// borrowed from the HubMachine that owns this object. One thread (the hub's). Pure.
class ClientQueries {
 public:
  struct Options {
    std::string session_id{"hub"};     ///< begins the msg_ids of resubmitted tasks
    std::size_t questions_max{1024};   ///< that wait for the store at once
    std::size_t records_max{100'000};  ///< in one db_reply
    Duration answer_timeout{std::chrono::seconds{60}};
    bool keep_results{true};  ///< false: results that went to their client are not recorded
  };

  ClientQueries(Options options, const EngineTable& engines, TaskLedger& ledger, Store& store)
      : options_(std::move(options)), engines_(engines), ledger_(ledger), store_(store) {}

  void answer(const Message& to,
              const ConnectionRequest& request,
              TimePoint now,
              HubActions& actions);
  void answer(const Message& to, const QueueRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to, const LoadRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to, const ResultRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to, const HistoryRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to, const DbRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to, const PurgeRequest& request, TimePoint now, HubActions& actions);
  void answer(const Message& to,
              const ResubmitRequest& request,
              TimePoint now,
              HubActions& actions);

  /// The store answered later. A token that nobody waits for any more is nothing.
  void take_answer(std::uint64_t token, StoreAnswer& answer, TimePoint now, HubActions& actions);
  /// Error replies for what the store has not answered in time.
  void expire(TimePoint now, HubActions& actions);
  [[nodiscard]] TimePoint next_deadline() const;
  [[nodiscard]] std::size_t waiting_count() const { return waiting_.size(); }

  /// The reply as the record is to have it: without the result when that was delivered and results
  /// are not kept. Nobody but the record waits for a resubmitted task's.
  [[nodiscard]] Message reply_to_keep(const std::string& msg_id, Message reply) const;

  /// The reply that says what went wrong.
  static void fail(const Message& to,
                   std::string msg_type,
                   const RemoteFailure& failure,
                   HubActions& actions);

 private:
  using Engines = std::vector<EngineTable::Engine>;
  using Failure = std::optional<RemoteFailure>;

  // What is to become of an answer, one struct for each kind of request.
  struct Results {
    bool status_only{false};
    std::vector<std::string> pending{};
    std::vector<std::string> completed{};
    std::vector<std::string> finished{};  ///< asked; the ledger knows them as finished
    std::vector<std::string> unknown{};   ///< asked; the ledger does not know them
  };
  struct History {};
  struct Records {
    std::vector<Column> columns{};
    bool buffers{false};
    bool result_buffers{false};
  };
  struct Purge {};
  struct Resubmission {
    std::vector<std::string> msg_ids{};
  };
  using Then = std::variant<Results, History, Records, Purge, Resubmission>;
  struct Waiting {
    Message to;
    Then then;
    TimePoint deadline{};
  };

  Failure find_targets(const std::optional<std::vector<EngineName>>& names, Engines& out) const;
  Failure find_purge(const PurgeRequest& request, DropRecords& out) const;
  void ask(const Message& to, StoreRequest request, Then then, TimePoint now, HubActions& actions);
  void conclude(
      const Message& to, const Then& then, StoreAnswer& answer, TimePoint now, HubActions& actions);
  void finish(const Message& to,
              const Results& then,
              StoreAnswer& answer,
              TimePoint now,
              HubActions& actions) const;
  static void finish(const Message& to,
                     const History& then,
                     StoreAnswer& answer,
                     TimePoint now,
                     HubActions& actions);
  static void finish(const Message& to,
                     const Records& then,
                     StoreAnswer& answer,
                     TimePoint now,
                     HubActions& actions);
  static void finish(const Message& to,
                     const Purge& then,
                     StoreAnswer& answer,
                     TimePoint now,
                     HubActions& actions);
  void finish(const Message& to,
              const Resubmission& then,
              StoreAnswer& answer,
              TimePoint now,
              HubActions& actions);
  /// The request as the task queue is to get it: no identities, no signature.
  [[nodiscard]] Message copy_for_resubmission(const TaskRecord& record) const;
  [[nodiscard]] RemoteFailure no_records() const;
  [[nodiscard]] std::string resubmitted_prefix() const {
    return options_.session_id + "_resubmit_";
  }
  [[nodiscard]] RemoteFailure no_message(const std::string& msg_id, bool finished) const;

  const Options options_;
  const EngineTable& engines_;
  TaskLedger& ledger_;
  Store& store_;
  std::map<std::uint64_t, Waiting>
      waiting_;  ///< by token, which is the order of the deadlines, too
  std::uint64_t next_token_{1};
  std::uint64_t resubmitted_{};
};

}  // namespace ipf
