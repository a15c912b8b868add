#include "store/sqlite_connection.hpp"

#include <cerrno>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <climits>

#include "core/text.hpp"

namespace ipf {

// ---- SqliteStatement ----------------------------------------------------------------------------

SqliteStatement::SqliteStatement(sqlite3* database, const std::string& sql) {
  sqlite3_prepare_v3(database, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                     &statement_, nullptr);
}

SqliteStatement::~SqliteStatement() {
  sqlite3_finalize(statement_);
}

SqliteStatement::SqliteStatement(SqliteStatement&& other) noexcept
    : statement_(std::exchange(other.statement_, nullptr)) {}

void SqliteStatement::bind_text(int place, std::optional<std::string_view> text) {
  if (!text) {
    sqlite3_bind_null(statement_, place);
    return;
  }
  // A null pointer would bind NULL; an empty view may have one.
  const char* data = text->data() == nullptr ? "" : text->data();
  sqlite3_bind_text64(statement_, place, data, text->size(), SQLITE_STATIC, SQLITE_UTF8);
}

void SqliteStatement::bind_blob(int place, std::optional<std::string_view> bytes) {
  if (!bytes) {
    sqlite3_bind_null(statement_, place);
    return;
  }
  sqlite3_bind_blob64(statement_, place, bytes->data(), bytes->size(), SQLITE_STATIC);
}

void SqliteStatement::bind_int(int place, std::int64_t value) {
  sqlite3_bind_int64(statement_, place, value);
}

int SqliteStatement::step() {
  return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_);
}

void SqliteStatement::reset() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

std::optional<std::string_view> SqliteStatement::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_, column);
  if (bytes == nullptr) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char*>(bytes),
                          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

std::optional<std::string_view> SqliteStatement::blob(int column) const {
  const auto* bytes = sqlite3_column_blob(statement_, column);
  if (bytes == nullptr) {
    return std::nullopt;
  }
  return std::string_view(static_cast<const char*>(bytes),
                          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

std::int64_t SqliteStatement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

// ---- SqliteConnection ---------------------------------------------------------------------------

namespace {

/// Makes the file before SQLite does: the mode is right from the first moment, and SQLite gives its
/// -wal and -shm files the mode of the database.
Result<void> make_private_file(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return unexpected(errno == EACCES || errno == EROFS ? ErrorCode::permission : ErrorCode::io,
                      "cannot open the database " + file.string() + ": " + errno_text(errno));
  }
  struct stat status{};
  Result<void> done{};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    done = unexpected(ErrorCode::io, file.string() + " is no regular file");
  } else if ((status.st_mode & 0077U) != 0 && fchmod(fd, 0600) != 0) {
    done =
        unexpected(ErrorCode::permission, "others may read the database " + file.string() +
                                              ", and this cannot be changed: " + errno_text(errno));
  }
  ::close(fd);
  return done;
}

/// NORMAL loses nothing when this process is killed, whatever moment it is: WAL pages are the
/// kernel's by then. A power cut may take the last moments before it, never the database's order.
constexpr const char* setup =
    "PRAGMA journal_mode=WAL;"
    "PRAGMA synchronous=NORMAL;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA cache_size=-16384;"
    "PRAGMA wal_autocheckpoint=4000;"
    "PRAGMA journal_size_limit=67108864;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA mmap_size=0;";  // a truncated file is an error then, not a SIGBUS

}  // namespace

Result<std::unique_ptr<SqliteConnection>> SqliteConnection::open(const std::filesystem::path& file,
                                                                 int busy_wait_ms) {
  IPF_TRY(make_private_file(file));
  sqlite3* database = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW;
  // SQLite wants the name as UTF-8, and so it is on Linux. NOFOLLOW refuses links in the path, too.
  std::error_code ignored;
  const auto real = std::filesystem::canonical(file, ignored);
  const int opened = sqlite3_open_v2(real.c_str(), &database, flags, nullptr);
  std::unique_ptr<SqliteConnection> connection(new SqliteConnection(file, database));
  if (opened != SQLITE_OK) {
    return unexpected(connection->error());
  }
  sqlite3_extended_result_codes(database, 1);
  sqlite3_db_config(database, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  connection->set_busy_wait(busy_wait_ms);
  IPF_TRY(connection->execute(setup));
  IPF_TRY(connection->execute("SELECT count(*) FROM sqlite_master"));
  return connection;
}

SqliteConnection::~SqliteConnection() {
  sqlite3_close_v2(database_);
}

SqliteStatement SqliteConnection::prepare(const std::string& sql) const {
  return {database_, sql};
}

Result<void> SqliteConnection::execute(const std::string& sql) {
  if (sqlite3_exec(database_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return unexpected(error());
  }
  return {};
}

void SqliteConnection::set_busy_wait(int milliseconds) {
  sqlite3_busy_timeout(database_, milliseconds);
}

Error SqliteConnection::error() const {
  const int code = sqlite3_errcode(database_);
  const std::string text =
      "the database " + file_.string() + " fails: " + sqlite3_errmsg(database_);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::unavailable, text + " (another process holds it)"};
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return {ErrorCode::malformed, text +
                                        " (move the file away, or choose another one with "
                                        "--SQLiteDB.filename)"};
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {ErrorCode::permission, text};
    default:
      return {ErrorCode::io, text};
  }
}

bool SqliteConnection::damaged() const {
  const int code = sqlite3_errcode(database_) & 0xff;
  return code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
}

bool SqliteConnection::moved_away() const {
  int moved = 0;
  return sqlite3_file_control(database_, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK &&
         moved != 0;
}

}  // namespace ipf
