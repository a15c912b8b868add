#pragma once

#include <cstddef>
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

/// Where task records live: DictDB and NoDB here, SQLite and MongoDB behind a thread of their own
/// (next issue). Called by one thread. No call blocks on a disk or a network: a slow backend queues
/// the change and answers find() through its own thread's mailbox.
class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  [[nodiscard]] virtual const char* name() const = 0;  ///< "DictDB", as the log line says it
  virtual void apply(const std::string& msg_id, RecordChange change) = 0;
  /// Nothing when there is no such record (never stored, culled or purged).
  [[nodiscard]] virtual std::optional<TaskRecord> get(const std::string& msg_id) const = 0;
  /// Records that match, in order of submission.
  [[nodiscard]] virtual std::vector<TaskRecord> find(const StoreQuery& query) const = 0;
  /// Removes matching records and says how many.
  virtual std::size_t drop(const StoreQuery& query) = 0;
  virtual bool drop_one(const std::string& msg_id) = 0;
  /// msg_ids with a submission time, in order of submission.
  [[nodiscard]] virtual std::vector<std::string> history() const = 0;
  /// False for NoDB: queries about the past then get an error reply that says so.
  [[nodiscard]] virtual bool keeps_records() const = 0;
};

}  // namespace ipf
