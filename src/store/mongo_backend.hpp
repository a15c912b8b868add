#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "store/record_row.hpp"
#include "store/store_backend.hpp"

namespace ipf {

/// Task records in a MongoDB collection, one document each with `_id` = msg_id (protocol.md 7.3).
///
/// A batch is one bulk write. MongoDB has no transaction over several documents without a replica
/// set, so a batch that fails may be there in part; writing it again changes nothing then. The
/// driver reconnects by itself. What does not fit into a document of 16 MB (large buffers) is left
/// out, with one log line.
///
/// One thread at a time. A call waits at most `connect_timeout` for a server and `socket_timeout`
/// for its answer.
class MongoBackend final : public StoreBackend {
 public:
  struct Options {
    std::string uri{"mongodb://127.0.0.1:27017/"};  ///< may hold a password: never logged
    std::string database{"ipython-tasks"};
    std::string collection{"task_records"};
    Duration connect_timeout{std::chrono::seconds(3)};
    Duration socket_timeout{std::chrono::seconds(10)};
  };

  /// Connects, which fails by name when the server is away, and makes the indexes. The log must
  /// outlive the backend.
  static Result<std::unique_ptr<MongoBackend>> open(const Options& options, Log& log);
  ~MongoBackend() override;

  [[nodiscard]] const char* name() const override { return "MongoDB"; }
  Result<void> write(const std::vector<RecordWrite>& records) override;
  Result<std::optional<TaskRecord>> load(const std::string& msg_id) override;
  Result<std::vector<TaskRecord>> find(const StoreQuery& query, std::size_t most) override;
  Result<std::size_t> drop(const DropRecords& unwanted) override;
  Result<std::vector<std::string>> history() override;
  Result<std::vector<std::string>> unfinished(std::size_t most) override;

 private:
  struct Driver;
  MongoBackend(Options options, Log& log);
  Result<void> connect();
  Result<void> make_indexes();
  Result<std::size_t> remove(const std::vector<std::string>& ids);

  const Options options_;
  Log& log_;
  std::unique_ptr<Driver> driver_;
  RowMaker rows_;
  std::int64_t next_place_{};  ///< rises with every record, also over restarts
  bool told_of_left_out_{false};
};

}  // namespace ipf
