#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "hub/store.hpp"
#include "hub/store_query.hpp"
#include "hub/task_record.hpp"

namespace ipf {

/// One record as it is to be in the database from now on.
struct RecordWrite {
  const TaskRecord* record{};
  bool to_end{false};  ///< its request came after its first output: it takes its place anew
};

/// A database, seen from the one thread that may wait for it. Every call may block, within bounds
/// that the backend sets; a failure says in one sentence what is wrong and changes nothing.
///
/// Queries mean what StoreQuery says, whatever the database understands: a backend may let the
/// database narrow the search, and then applies the query itself.
class StoreBackend {
 public:
  StoreBackend() = default;
  StoreBackend(const StoreBackend&) = delete;
  StoreBackend& operator=(const StoreBackend&) = delete;
  virtual ~StoreBackend() = default;

  [[nodiscard]] virtual const char* name() const = 0;  ///< "SQLiteDB"
  /// Inserts or replaces all of them, or none.
  virtual Result<void> write(const std::vector<RecordWrite>& records) = 0;
  virtual Result<std::optional<TaskRecord>> load(const std::string& msg_id) = 0;
  /// In order of submission; too_large when more than `most` match.
  virtual Result<std::vector<TaskRecord>> find(const StoreQuery& query, std::size_t most) = 0;
  virtual Result<std::size_t> drop(const DropRecords& unwanted) = 0;
  virtual Result<std::vector<std::string>> history() = 0;
  /// msg_ids of records without a reply, at most so many of the latest.
  virtual Result<std::vector<std::string>> unfinished(std::size_t most) = 0;
};

}  // namespace ipf
