#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace ipf {

/// A prepared statement. Values are bound only, never part of the SQL text; bound views must live
/// until the next reset(). One thread.
class SqliteStatement {
 public:
  SqliteStatement(sqlite3* database, const std::string& sql);
  ~SqliteStatement();
  SqliteStatement(SqliteStatement&& other) noexcept;
  SqliteStatement& operator=(SqliteStatement&&) = delete;
  SqliteStatement(const SqliteStatement&) = delete;
  SqliteStatement& operator=(const SqliteStatement&) = delete;

  [[nodiscard]] bool valid() const { return statement_ != nullptr; }
  void bind_text(int place, std::optional<std::string_view> text);
  void bind_blob(int place, std::optional<std::string_view> bytes);
  void bind_int(int place, std::int64_t value);
  /// SQLITE_ROW, SQLITE_DONE or an error code.
  int step();
  /// Takes the bound values away and makes it ready to run again.
  void reset();
  /// Missing when NULL. Valid until the next step() or reset().
  [[nodiscard]] std::optional<std::string_view> text(int column) const;
  [[nodiscard]] std::optional<std::string_view> blob(int column) const;
  [[nodiscard]] std::int64_t integer(int column) const;

 private:
  sqlite3_stmt* statement_{};
};

/// An open SQLite database in WAL mode. Closed by the destructor. One thread at a time.
class SqliteConnection {
 public:
  /// Opens or makes the file (0600 from the beginning; an existing one that others may read is
  /// restricted) and sets it up. The error names the file and the remedy. Waits at most
  /// `busy_wait_ms` for a lock of another process, here and in every later call.
  static Result<std::unique_ptr<SqliteConnection>> open(const std::filesystem::path& file,
                                                        int busy_wait_ms);
  ~SqliteConnection();
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  [[nodiscard]] SqliteStatement prepare(const std::string& sql) const;
  /// Runs statements without results.
  Result<void> execute(const std::string& sql);
  /// What went wrong last, with the name of the file.
  [[nodiscard]] Error error() const;
  /// The last error says that the file is no (longer a) sound database.
  [[nodiscard]] bool damaged() const;
  /// Whether the file is no longer at its path: deleted or replaced.
  [[nodiscard]] bool moved_away() const;
  void set_busy_wait(int milliseconds);
  [[nodiscard]] sqlite3* handle() const { return database_; }

 private:
  SqliteConnection(std::filesystem::path file, sqlite3* database)
      : file_(std::move(file)), database_(database) {}
  const std::filesystem::path file_;
  sqlite3* const database_;
};

}  // namespace ipf
