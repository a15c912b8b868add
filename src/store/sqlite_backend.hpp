#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "store/record_row.hpp"
#include "store/sqlite_connection.hpp"
#include "store/store_backend.hpp"

namespace ipf {

/// What an earlier controller left in the database, for one that restarts.
struct StoredTasks {
  /// msg_ids of finished tasks, in order of submission; the last `finished_max` of them.
  std::vector<std::string> finished{};
  /// Load-balanced tasks (queue "task") without a reply, in order of submission.
  std::vector<TaskRecord> unfinished{};
};

/// Task records in an SQLite file, in the columns of protocol.md 7.3: ipyparallel reads and goes on
/// writing it, and this reads what ipyparallel wrote. What has no column there (`display_data`) is
/// in a second table. A table of another shape is left alone: `_1`, `_2`, ... is put behind the
/// name.
///
/// The file may be deleted, replaced or damaged while this works: a new one is begun (a damaged one
/// is kept beside it as `<file>.damaged-<time>`) and one log line says so.
///
/// One thread at a time. Calls wait at most `busy_wait` for a lock of another process.
class SqliteBackend final : public StoreBackend {
 public:
  struct Options {
    std::filesystem::path file{"tasks.db"};
    std::string table{"ipython-tasks"};
    Duration busy_wait_at_start{std::chrono::seconds(5)};
    Duration busy_wait{std::chrono::milliseconds(250)};
    std::size_t buffers_max{512UL << 20U};  ///< of one message; more is not stored (SQLite: 1 GB)
  };

  /// Opens the database and makes the table. The log must outlive the backend.
  static Result<std::unique_ptr<SqliteBackend>> open(const Options& options, Log& log);
  ~SqliteBackend() override;

  /// What a restarted controller has to know. Synchronous: to be called after open() and before the
  /// backend is handed to a ThreadedStore.
  Result<StoredTasks> load_tasks(std::size_t finished_max, std::size_t unfinished_max);

  [[nodiscard]] const char* name() const override { return "SQLiteDB"; }
  Result<void> write(const std::vector<RecordWrite>& records) override;
  Result<std::optional<TaskRecord>> load(const std::string& msg_id) override;
  Result<std::vector<TaskRecord>> find(const StoreQuery& query, std::size_t most) override;
  Result<std::size_t> drop(const DropRecords& unwanted) override;
  Result<std::vector<std::string>> history() override;
  Result<std::vector<std::string>> unfinished(std::size_t most) override;

  [[nodiscard]] const std::string& table() const { return table_; }
  /// How SQLite searches for this query, one line for each step; for tests and the curious.
  [[nodiscard]] std::string explain(const StoreQuery& query) const;

 private:
  struct Statements;
  SqliteBackend(Options options, Log& log);

  Result<void> connect(Duration busy_wait);
  Result<void> choose_table();
  Result<void> make_table();
  Result<void> keep_file_sound();
  Result<void> begin_anew(const char* why, bool keep_old);
  Result<void> write_in_transaction(const std::vector<RecordWrite>& records);
  Result<void> write_one(const RecordWrite& write);
  Result<void> run(SqliteStatement& statement);
  /// The first column of the rows.
  Result<std::vector<std::string>> ids_of(SqliteStatement& rows) const;
  /// Calls `take(statement)` for each row that matches; `take` says whether to go on.
  template <class Take>
  Result<void> scan(const StoreQuery& query, Take take);
  template <class Take>
  Result<void> take_rows(SqliteStatement& rows, const StoreQuery& query, Take& take);
  TaskRecord record_at(SqliteStatement& statement) const;
  [[nodiscard]] std::optional<std::string> pickled(const Message& message) const;
  void roll_back();

  const Options options_;
  Log& log_;
  std::string table_;
  std::string extra_table_;
  std::unique_ptr<SqliteConnection> connection_;
  std::unique_ptr<Statements> statements_;
  RowMaker rows_;
};

}  // namespace ipf
