#include "store/sqlite_backend.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <sqlite3.h>
#include <string_view>
#include <system_error>
#include <utility>

#include "hub/record_columns.hpp"
#include "store/found_records.hpp"
#include "store/pickled_buffers.hpp"
#include "store/sqlite_query.hpp"

namespace ipf {

namespace {

/// Columns of the main table: all but display_data, in the order of the enumeration.
constexpr int main_columns = 23;

struct ColumnType {
  std::string_view name{};
  std::string_view type{};
};

/// The declared types are what ipyparallel checks and what its sqlite3 converters go by.
constexpr std::array<ColumnType, main_columns> layout{{
    {"msg_id", "text"},
    {"header", "dict text"},
    {"metadata", "dict text"},
    {"content", "dict text"},
    {"buffers", "bufs blob"},
    {"submitted", "timestamp"},
    {"client_uuid", "text"},
    {"engine_uuid", "text"},
    {"started", "timestamp"},
    {"completed", "timestamp"},
    {"resubmitted", "text"},
    {"received", "timestamp"},
    {"result_header", "dict text"},
    {"result_metadata", "dict text"},
    {"result_content", "dict text"},
    {"result_buffers", "bufs blob"},
    {"queue", "text"},
    {"execute_input", "text"},
    {"execute_result", "text"},
    {"error", "text"},
    {"stdout", "text"},
    {"stderr", "text"},
    {"label", "text"},
}};

/// What queries ask by. Columns that are mostly NULL get an index without the NULLs, which costs
/// nothing for most records.
constexpr std::array<std::string_view, 5> indexed{"submitted", "client_uuid", "engine_uuid",
                                                  "completed", "queue"};
constexpr std::array<std::string_view, 2> indexed_when_set{"label", "resubmitted"};

std::string sql_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    out += c == '"' ? "\"\"" : std::string(1, c);
  }
  return out + "\"";
}

/// The rows of the main table with what the second one adds.
std::string select_from(const std::string& table, const std::string& extra) {
  std::string sql = "SELECT t.rowid";
  for (const auto& column : layout) {
    sql += ",t." + sql_name(column.name);
  }
  return sql + ",x.display_data FROM " + sql_name(table) + " AS t LEFT JOIN " + sql_name(extra) +
         " AS x ON x.msg_id = t.msg_id WHERE ";
}

/// SQLite shows a declared `text` as `TEXT` since 3.37.
bool same_type(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char left, unsigned char right) {
    return std::tolower(left) == std::tolower(right);
  });
}

int place_of(Column column) {
  return static_cast<int>(column) + 1;
}

/// The column as queries see it: text, object, microseconds or null.
Json value_at(const SqliteStatement& statement, const Condition& condition) {
  const Column column = condition.column;
  if (column_kind(column) == ColumnKind::buffers) {
    return nullptr;
  }
  const auto text = statement.text(place_of(column));
  if (!text) {
    return nullptr;
  }
  switch (column_kind(column)) {
    case ColumnKind::date: {
      WallTime time;
      if (!parse_iso(*text, time)) {
        return nullptr;
      }
      return condition.op == QueryOperator::glob ? Json(to_iso(time)) : Json(time.microseconds);
    }
    case ColumnKind::object: {
      auto value = parse_json(*text);
      return value ? std::move(*value) : Json();
    }
    default:
      return std::string(*text);
  }
}

}  // namespace

struct SqliteBackend::Statements {
  SqliteStatement begin;
  SqliteStatement commit;
  SqliteStatement upsert;
  SqliteStatement upsert_extra;
  SqliteStatement get;
  SqliteStatement remove;
  SqliteStatement remove_extra;
  SqliteStatement history;
};

SqliteBackend::SqliteBackend(Options options, Log& log) : options_(std::move(options)), log_(log) {}
SqliteBackend::~SqliteBackend() = default;

// ---- opening ------------------------------------------------------------------------------------

Result<std::unique_ptr<SqliteBackend>> SqliteBackend::open(const Options& options, Log& log) {
  std::unique_ptr<SqliteBackend> backend(new SqliteBackend(options, log));
  IPF_TRY(backend->connect(options.busy_wait_at_start));
  return backend;
}

Result<void> SqliteBackend::connect(Duration busy_wait) {
  const auto milliseconds = [](Duration duration) {
    return static_cast<int>(
        std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
  };
  statements_.reset();
  connection_.reset();
  auto connection = SqliteConnection::open(options_.file, milliseconds(busy_wait));
  if (!connection) {
    return unexpected(connection.error());
  }
  connection_ = std::move(*connection);
  IPF_TRY(choose_table());
  IPF_TRY(make_table());
  connection_->set_busy_wait(milliseconds(options_.busy_wait));

  const std::string table = sql_name(table_);
  const std::string extra = sql_name(extra_table_);
  std::string upsert = "INSERT INTO " + table + " VALUES (?";
  std::string update;
  for (std::size_t i = 1; i < layout.size(); ++i) {
    upsert += ",?";
    const auto name = sql_name(layout.at(i).name);
    update += (i == 1 ? "" : ",") + name + "=excluded." + name;
  }
  upsert += ") ON CONFLICT(msg_id) DO UPDATE SET " + update;
  statements_ = std::make_unique<Statements>(Statements{
      .begin = connection_->prepare("BEGIN IMMEDIATE"),
      .commit = connection_->prepare("COMMIT"),
      .upsert = connection_->prepare(upsert),
      .upsert_extra = connection_->prepare("INSERT OR REPLACE INTO " + extra + " VALUES (?,?)"),
      .get = connection_->prepare(select_from(table_, extra_table_) + "t.msg_id = ?"),
      .remove = connection_->prepare("DELETE FROM " + table + " WHERE msg_id = ?"),
      .remove_extra = connection_->prepare("DELETE FROM " + extra + " WHERE msg_id = ?"),
      .history = connection_->prepare("SELECT msg_id FROM " + table +
                                      " WHERE queue IS NOT NULL OR metadata IS NOT NULL"
                                      " ORDER BY rowid"),
  });
  if (!statements_->upsert.valid() || !statements_->get.valid() || !statements_->history.valid()) {
    return unexpected(connection_->error());
  }
  return {};
}

/// The first of the names whose table is not there or has the right columns.
Result<void> SqliteBackend::choose_table() {
  constexpr int names_max = 100;
  for (int i = 0; i < names_max; ++i) {
    table_ = options_.table + (i == 0 ? "" : "_" + std::to_string(i));
    auto info = connection_->prepare("SELECT name, type FROM pragma_table_info(?)");
    info.bind_text(1, table_);
    std::size_t count = 0;
    bool fits = true;
    int status = info.step();
    for (; status == SQLITE_ROW; status = info.step(), ++count) {
      fits = fits && count < layout.size() && info.text(0) == layout.at(count).name &&
             same_type(info.text(1).value_or(std::string_view{}), layout.at(count).type);
    }
    if (status != SQLITE_DONE) {
      return unexpected(connection_->error());
    }
    if (count == 0 || (fits && count == layout.size())) {
      extra_table_ = table_ + "-ipyfleet";
      return {};
    }
    log_.warning("SQLiteDB::table " + table_ + " of " + options_.file.string() +
                 " has other columns; trying the next name");
  }
  return unexpected(ErrorCode::malformed, "no usable table in " + options_.file.string());
}

Result<void> SqliteBackend::make_table() {
  const std::string table = sql_name(table_);
  std::string sql = "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS " + table + " (";
  for (const auto& column : layout) {
    sql += (column.name == "msg_id" ? "" : ", ") + sql_name(column.name) + " " +
           std::string(column.type) + (column.name == "msg_id" ? " PRIMARY KEY" : "");
  }
  sql += "); CREATE TABLE IF NOT EXISTS " + sql_name(extra_table_) +
         " (msg_id text PRIMARY KEY, display_data text);";
  for (const auto name : indexed) {
    sql += "CREATE INDEX IF NOT EXISTS " + sql_name(table_ + "-" + std::string(name)) + " ON " +
           table + " (" + sql_name(name) + ");";
  }
  for (const auto name : indexed_when_set) {
    sql += "CREATE INDEX IF NOT EXISTS " + sql_name(table_ + "-" + std::string(name)) + " ON " +
           table + " (" + sql_name(name) + ") WHERE " + sql_name(name) + " IS NOT NULL;";
  }
  const auto made = connection_->execute(sql + "COMMIT");
  if (!made) {
    roll_back();
  }
  return made;
}

// ---- when something happens to the file ---------------------------------------------------------

void SqliteBackend::roll_back() {
  if (connection_ && sqlite3_get_autocommit(connection_->handle()) == 0) {
    (void)connection_->execute("ROLLBACK");
  }
}

Result<void> SqliteBackend::begin_anew(const char* why, bool keep_old) {
  statements_.reset();
  connection_.reset();
  std::error_code ignored;
  const std::string file = options_.file.string();
  if (keep_old) {
    std::filesystem::rename(file, file + ".damaged-" + std::to_string(wall_now().microseconds),
                            ignored);
  }
  if (!std::filesystem::exists(file, ignored)) {  // else somebody put another database there
    std::filesystem::remove(file + "-wal", ignored);
    std::filesystem::remove(file + "-shm", ignored);
  }
  const auto connected = connect(options_.busy_wait);
  if (connected) {
    log_.error("SQLiteDB::the database " + file + " " + why +
               "; earlier records are no longer known, new ones are written");
  }
  return connected;
}

/// Connected, and to the file that has the name.
Result<void> SqliteBackend::keep_file_sound() {
  if (!connection_ || !statements_) {
    return connect(options_.busy_wait);
  }
  if (connection_->moved_away()) {
    return begin_anew("was deleted or replaced", false);
  }
  return {};
}

// ---- writing ------------------------------------------------------------------------------------

Result<void> SqliteBackend::run(SqliteStatement& statement) {
  const int status = statement.step();
  const auto failure = status == SQLITE_DONE || status == SQLITE_ROW
                           ? std::nullopt
                           : std::optional(connection_->error());
  statement.reset();
  return failure ? Result<void>(unexpected(*failure)) : Result<void>{};
}

std::optional<std::string> SqliteBackend::pickled(const Message& message) const {
  if (message.buffer_count() == 0) {
    return std::nullopt;
  }
  std::vector<std::string_view> buffers;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < message.buffer_count(); ++i) {
    buffers.push_back(message.buffer(i));
    bytes += buffers.back().size();
  }
  if (bytes > options_.buffers_max) {
    log_.warning("SQLiteDB::buffers of " + std::to_string(bytes) +
                 " bytes are too large for a database; the record is kept without them");
    return std::nullopt;
  }
  return pickle_buffers(buffers);
}

Result<void> SqliteBackend::write_one(const RecordWrite& write) {
  const TaskRecord& record = *write.record;
  if (write.to_end) {
    statements_->remove.bind_text(1, record.msg_id);
    IPF_TRY(run(statements_->remove));
  }
  const RecordRow& row = rows_.make(record);
  auto& upsert = statements_->upsert;
  for (int i = 0; i < main_columns; ++i) {
    upsert.bind_text(i + 1, row.columns.at(static_cast<std::size_t>(i)));
  }
  const auto buffers = record.request ? pickled(*record.request) : std::nullopt;
  const auto result_buffers = record.reply ? pickled(*record.reply) : std::nullopt;
  upsert.bind_blob(place_of(Column::buffers), buffers);
  upsert.bind_blob(place_of(Column::result_buffers), result_buffers);
  IPF_TRY(run(upsert));
  if (row[Column::display_data]) {
    auto& extra = statements_->upsert_extra;
    extra.bind_text(1, record.msg_id);
    extra.bind_text(2, row[Column::display_data]);
    IPF_TRY(run(extra));
  }
  return {};
}

Result<void> SqliteBackend::write_in_transaction(const std::vector<RecordWrite>& records) {
  IPF_TRY(keep_file_sound());
  IPF_TRY(run(statements_->begin));
  for (const auto& write : records) {
    if (const auto written = write_one(write); !written) {
      return written;
    }
  }
  return run(statements_->commit);
}

Result<void> SqliteBackend::write(const std::vector<RecordWrite>& records) {
  auto written = write_in_transaction(records);
  if (!written && written.error().code == ErrorCode::malformed) {
    // The file is no sound database any more. What is to be written now is not lost by a new one.
    IPF_TRY(begin_anew("is damaged and was put aside", true));
    written = write_in_transaction(records);
  }
  if (!written) {
    roll_back();
  }
  return written;
}

// ---- reading ------------------------------------------------------------------------------------

TaskRecord SqliteBackend::record_at(SqliteStatement& statement) const {
  RecordRow row;
  for (std::size_t i = 0; i < column_count; ++i) {
    if (column_kind(static_cast<Column>(i)) != ColumnKind::buffers) {
      row.columns.at(i) = statement.text(static_cast<int>(i) + 1);
    }
  }
  const auto buffers_at = [&](Column column) {
    const auto blob = statement.blob(place_of(column));
    const auto buffers =
        blob ? unpickle_buffers(*blob)
             : Result<std::vector<std::string_view>>(std::vector<std::string_view>{});
    return buffers.value_or(std::vector<std::string_view>{});
  };
  return record_of_row(row, buffers_at(Column::buffers), buffers_at(Column::result_buffers));
}

Result<std::optional<TaskRecord>> SqliteBackend::load(const std::string& msg_id) {
  IPF_TRY(keep_file_sound());
  auto& get = statements_->get;
  get.bind_text(1, msg_id);
  const int status = get.step();
  Result<std::optional<TaskRecord>> found = std::optional<TaskRecord>{};
  if (status == SQLITE_ROW) {
    found = std::optional(record_at(get));
  } else if (status != SQLITE_DONE) {
    found = unexpected(connection_->error());
  }
  get.reset();
  return found;
}

template <class Take>
Result<void> SqliteBackend::scan(const StoreQuery& query, Take take) {
  IPF_TRY(keep_file_sound());
  const auto ids = query.wanted_msg_ids();
  if (ids && ids->size() > sql_list_max) {
    for (const auto& msg_id : *ids) {
      auto& get = statements_->get;
      get.bind_text(1, msg_id);
      const auto done = take_rows(get, query, take);
      get.reset();
      IPF_TRY(done);
    }
    return {};
  }
  const auto filter = sql_filter(query);
  auto statement = connection_->prepare(select_from(table_, extra_table_) + filter.where);
  for (std::size_t i = 0; i < filter.values.size(); ++i) {
    statement.bind_text(static_cast<int>(i) + 1, filter.values[i]);
  }
  return take_rows(statement, query, take);
}

std::string SqliteBackend::explain(const StoreQuery& query) const {
  auto statement = connection_->prepare("EXPLAIN QUERY PLAN " + select_from(table_, extra_table_) +
                                        sql_filter(query).where);
  std::string plan;
  while (statement.step() == SQLITE_ROW) {
    constexpr int detail = 3;
    plan += std::string(statement.text(detail).value_or(std::string_view{})) + "\n";
  }
  return plan;
}

template <class Take>
Result<void> SqliteBackend::take_rows(SqliteStatement& rows, const StoreQuery& query, Take& take) {
  int status = rows.step();
  for (; status == SQLITE_ROW; status = rows.step()) {
    const bool found = std::ranges::all_of(query.conditions(), [&](const Condition& condition) {
      return holds(condition, value_at(rows, condition));
    });
    if (found && !take(rows)) {
      return {};
    }
  }
  return status == SQLITE_DONE ? Result<void>{} : unexpected(connection_->error());
}

Result<std::vector<TaskRecord>> SqliteBackend::find(const StoreQuery& query, std::size_t most) {
  FoundRecords found(most);
  const auto take = [&](SqliteStatement& statement) {
    return found.add(statement.integer(0), record_at(statement));
  };
  IPF_TRY(scan(query, take));
  // Not by ORDER BY: it would tempt SQLite to read the whole table in order instead of an index.
  return std::move(found).in_order();
}

Result<std::vector<std::string>> SqliteBackend::ids_of(SqliteStatement& rows) const {
  std::vector<std::string> ids;
  int status = rows.step();
  for (; status == SQLITE_ROW; status = rows.step()) {
    ids.emplace_back(rows.text(0).value_or(std::string_view{}));
  }
  const auto error = connection_->error();
  rows.reset();
  return status == SQLITE_DONE ? Result<std::vector<std::string>>(std::move(ids))
                               : unexpected(error);
}

Result<std::vector<std::string>> SqliteBackend::history() {
  IPF_TRY(keep_file_sound());
  return ids_of(statements_->history);
}

Result<std::vector<std::string>> SqliteBackend::unfinished(std::size_t most) {
  IPF_TRY(keep_file_sound());
  auto list = connection_->prepare("SELECT msg_id FROM " + sql_name(table_) +
                                   " WHERE completed IS NULL ORDER BY rowid DESC LIMIT ?");
  list.bind_int(1, static_cast<std::int64_t>(most));
  return ids_of(list);
}

Result<std::size_t> SqliteBackend::drop(const DropRecords& unwanted) {
  std::vector<std::string> ids = unwanted.msg_ids;
  for (const auto& query : unwanted.queries) {
    IPF_TRY(scan(query, [&](SqliteStatement& statement) {
      ids.emplace_back(statement.text(place_of(Column::msg_id)).value_or(std::string_view{}));
      return true;
    }));
  }
  IPF_TRY(keep_file_sound());
  IPF_TRY(run(statements_->begin));
  std::size_t dropped = 0;
  Result<void> done{};
  for (std::size_t i = 0; i < ids.size() && done; ++i) {
    statements_->remove_extra.bind_text(1, ids[i]);
    done = run(statements_->remove_extra);
    if (done) {
      statements_->remove.bind_text(1, ids[i]);
      done = run(statements_->remove);
      dropped += static_cast<std::size_t>(sqlite3_changes(connection_->handle()));
    }
  }
  if (done) {
    done = run(statements_->commit);
  }
  if (!done) {
    roll_back();
    return unexpected(done.error());
  }
  return dropped;
}

Result<StoredTasks> SqliteBackend::load_tasks(std::size_t finished_max,
                                              std::size_t unfinished_max) {
  StoredTasks tasks;
  auto list = connection_->prepare("SELECT msg_id FROM " + sql_name(table_) +
                                   " WHERE completed IS NOT NULL ORDER BY rowid DESC LIMIT ?");
  list.bind_int(1, static_cast<std::int64_t>(finished_max));
  auto finished = ids_of(list);
  if (!finished) {
    return unexpected(finished.error());
  }
  tasks.finished = std::move(*finished);
  std::ranges::reverse(tasks.finished);
  const auto query = StoreQuery::parse({{"queue", "task"}, {"completed", nullptr}});
  auto unfinished = find(*query, unfinished_max);
  if (!unfinished) {
    return unexpected(unfinished.error());
  }
  tasks.unfinished = std::move(*unfinished);
  return tasks;
}

}  // namespace ipf
