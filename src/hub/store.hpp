#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "hub/hub_events.hpp"
#include "hub/store_query.hpp"
#include "hub/task_record.hpp"

namespace ipf {

/// One change of a task's record, in the order in which they are seen. A change for an unknown
/// msg_id makes a partial record that later changes complete (iopub may overtake the request).
struct RecordRequest {
  TaskQueue queue{TaskQueue::mux};
  std::string engine_uuid{};
  Message request;
};
struct RecordAssignment {
  std::string engine_uuid{};
};
struct RecordReply {
  std::string engine_uuid{};
  WallTime received{};
  Message reply;
};
struct RecordOutput {
  std::string msg_type{};
  Message output;
};
struct RecordResubmission {
  std::string new_msg_id{};
};
using RecordChange =
    std::variant<RecordRequest, RecordAssignment, RecordReply, RecordOutput, RecordResubmission>;

// ---- what a store is asked ----------------------------------------------------------------------

/// The records of these msg_ids, as far as there are any. Answered by records.
struct GetRecords {
  std::vector<std::string> msg_ids{};
};
/// Records that match, in order of submission. Answered by records; too_large when there are more.
struct FindRecords {
  StoreQuery query{};
  std::size_t records_max{};
};
/// Removes these records and those that match one of the queries. Answered by `dropped`.
struct DropRecords {
  std::vector<std::string> msg_ids{};
  std::vector<StoreQuery> queries{};
};
/// msg_ids of all requests in order of submission. Answered by `history`.
struct ListHistory {};

using StoreRequest = std::variant<GetRecords, FindRecords, DropRecords, ListHistory>;

/// One member is filled, the one that the request says; or `failure` is set.
struct StoreAnswer {
  std::optional<Error> failure{};
  std::vector<TaskRecord> records{};
  std::size_t dropped{};
  std::vector<std::string> history{};
};

/// What a store holds now.
struct StoreFigures {
  std::size_t records{};  ///< in memory; a database's are not counted
  std::size_t bytes{};    ///< in them
  std::size_t culled{};   ///< dropped because of the limits, since the start
  // Of a database: what is to be written, and what was given up because it could not be.
  std::size_t unwritten{};
  std::size_t unwritten_bytes{};
  std::size_t lost{};
  bool failing{false};  ///< the last write failed
};

/// Where task records live: DictDB and NoDB here, SQLite and MongoDB in src/store behind a thread
/// of their own. Called by one thread, and **no call blocks** on a disk, a network or another
/// thread: a slow store queues the change or the question and answers later.
///
/// There is one path for both kinds. ask() gives the answer at once, or nothing and then exactly
/// one StoreAnswered event with the same token. An answer knows every change that was applied
/// before ask(). HubMachine treats both alike, so a test or a simulation may delay any store.
class Store {
 public:
  using AnswerSink = std::function<void(StoreAnswered)>;

  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  [[nodiscard]] virtual const char* name() const = 0;  ///< "DictDB", as the log line says it
  /// False for NoDB: queries about the past then get an error reply that says so.
  [[nodiscard]] virtual bool keeps_records() const = 0;
  virtual void apply(const std::string& msg_id, RecordChange change) = 0;
  [[nodiscard]] virtual std::optional<StoreAnswer> ask(std::uint64_t token,
                                                       StoreRequest request) = 0;

  [[nodiscard]] virtual StoreFigures figures() const { return {}; }

  // What only slow stores need.
  /// Begins to work; `sink` takes the later answers and may be called by any thread.
  // NOLINTNEXTLINE(performance-unnecessary-value-param): those that need it keep it
  virtual void start(AnswerSink /*sink*/) {}
  /// Writes what is left, within a bound, and calls the sink no more.
  virtual void stop() {}
  /// Hands over what apply() has gathered; to be called once a round.
  virtual void flush() {}
  /// False while too much waits to be written: the caller then applies nothing for a moment, which
  /// holds back those who feed it. A store that stands still for long says true again, and drops.
  [[nodiscard]] virtual bool has_room(TimePoint /*now*/) { return true; }
};

}  // namespace ipf
