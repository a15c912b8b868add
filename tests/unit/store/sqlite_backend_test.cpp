#include "store/sqlite_backend.hpp"

#include <csignal>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <sys/resource.h>
#include <vector>

#include <gtest/gtest.h>

#include "hub/record_change.hpp"
#include "store/write_behind.hpp"
#include "unit/store/store_testing.hpp"

namespace ipf {
namespace {

using Names = std::vector<std::string>;

TaskRecord record(const std::string& msg_id, bool done, TaskQueue queue = TaskQueue::task) {
  TaskRecord out{.msg_id = msg_id};
  apply_change(
      out, RecordRequest{.queue = queue, .engine_uuid = {}, .request = test::apply_request(msg_id)},
      {});
  if (done) {
    apply_change(out,
                 RecordReply{.engine_uuid = "e",
                             .received = test::wall_ms(30),
                             .reply = test::apply_reply(msg_id, "e")},
                 {});
  }
  return out;
}

class SqliteBackendTest : public testing::Test {
 protected:
  std::unique_ptr<SqliteBackend> open() {
    auto opened = SqliteBackend::open(options, log);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }
  static Result<void> write(SqliteBackend& backend, const std::vector<TaskRecord>& records) {
    std::vector<RecordWrite> writes;
    for (const auto& one : records) {
      writes.push_back({.record = &one});
    }
    return backend.write(writes);
  }
  /// Runs SQL as another process would.
  void as_another_process(const std::string& sql) {
    auto other = SqliteConnection::open(options.file, 1000);
    ASSERT_TRUE(other) << other.error().message;
    const auto done = (*other)->execute(sql);
    EXPECT_TRUE(done) << done.error().message;
  }

  test::TempDir directory;
  test::StoreLog log;
  SqliteBackend::Options options{.file = directory / "tasks.db",
                                 .busy_wait_at_start = std::chrono::milliseconds(20),
                                 .busy_wait = std::chrono::milliseconds(20)};
};

TEST_F(SqliteBackendTest, TheFileIsTheOwnersOnlyFromTheBeginning) {
  const auto backend = open();
  ASSERT_TRUE(write(*backend, {record("a", true)}));
  for (const auto* name : {"tasks.db", "tasks.db-wal", "tasks.db-shm"}) {
    struct stat status{};
    ASSERT_EQ(stat((directory / name).c_str(), &status), 0) << name;
    EXPECT_EQ(status.st_mode & 0777U, 0600U) << name;
  }
}

TEST_F(SqliteBackendTest, AFileThatOthersMayReadIsRestricted) {
  {
    std::ofstream(options.file) << "";
  }
  chmod(options.file.c_str(), 0644);
  open();
  struct stat status{};
  ASSERT_EQ(stat(options.file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(SqliteBackendTest, ALinkIsNotFollowed) {
  std::filesystem::create_symlink(directory / "elsewhere.db", options.file);
  EXPECT_FALSE(SqliteBackend::open(options, log));
  EXPECT_FALSE(std::filesystem::exists(directory / "elsewhere.db"));
}

TEST_F(SqliteBackendTest, ARestartKeepsTheHistory) {
  {
    const auto backend = open();
    ASSERT_TRUE(
        write(*backend, {record("a", true), record("b", false), record("m", false, TaskQueue::mux),
                         record("c", true), record("d", false)}));
  }
  const auto backend = open();
  EXPECT_EQ(*backend->history(), (Names{"a", "b", "m", "c", "d"}));
  const auto tasks = backend->load_tasks(10, 10);
  ASSERT_TRUE(tasks);
  EXPECT_EQ(tasks->finished, (Names{"a", "c"}));
  ASSERT_EQ(tasks->unfinished.size(), 2U) << "a direct call is the engine's, not the queue's";
  EXPECT_EQ(tasks->unfinished[0].msg_id, "b");
  EXPECT_EQ(tasks->unfinished[1].msg_id, "d");
  EXPECT_EQ(test::texts(buffers_of(tasks->unfinished[0].request)), Names{"call"});
  EXPECT_EQ(backend->load_tasks(1, 10)->finished, Names{"c"}) << "the last ones";
  EXPECT_FALSE(backend->load_tasks(10, 1));
}

TEST_F(SqliteBackendTest, ATableOfAnotherShapeIsLeftAlone) {
  as_another_process(
      "CREATE TABLE \"ipython-tasks\" (msg_id text PRIMARY KEY, other text);"
      "INSERT INTO \"ipython-tasks\" VALUES ('a', 'b')");
  const auto backend = open();
  EXPECT_EQ(backend->table(), "ipython-tasks_1");
  EXPECT_TRUE(write(*backend, {record("a", true)}));
  EXPECT_EQ(*backend->history(), Names{"a"});
  EXPECT_EQ(log.count(LogLevel::warning, "other columns"), 1U);
}

TEST_F(SqliteBackendTest, ATableNameIsOnlyAName) {
  options.table = R"(x"; DROP TABLE y; --)";
  const auto backend = open();
  EXPECT_TRUE(write(*backend, {record("a", true)}));
  EXPECT_EQ(*backend->history(), Names{"a"});
}

TEST_F(SqliteBackendTest, WhatIsNoDatabaseIsRefusedWithItsName) {
  {
    std::ofstream(options.file) << std::string(5000, 'x');
  }
  const auto backend = SqliteBackend::open(options, log);
  ASSERT_FALSE(backend);
  EXPECT_NE(backend.error().message.find(options.file.string()), std::string::npos);
  EXPECT_NE(backend.error().message.find("move the file away"), std::string::npos);
}

TEST_F(SqliteBackendTest, ALockOfAnotherProcessIsWaitedForAndThenNamed) {
  const auto backend = open();
  auto other = SqliteConnection::open(options.file, 100);
  ASSERT_TRUE((*other)->execute("BEGIN IMMEDIATE"));
  const auto written = write(*backend, {record("a", true)});
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, ErrorCode::unavailable);
  EXPECT_TRUE(backend->history()) << "reading needs no lock";
  ASSERT_TRUE((*other)->execute("ROLLBACK"));
  EXPECT_TRUE(write(*backend, {record("a", true)}));
  EXPECT_EQ(*backend->history(), Names{"a"});
}

TEST_F(SqliteBackendTest, ADeletedFileIsBegunAnew) {
  const auto backend = open();
  ASSERT_TRUE(write(*backend, {record("a", true)}));
  std::filesystem::remove(options.file);
  ASSERT_TRUE(write(*backend, {record("b", true)}));
  EXPECT_EQ(*backend->history(), Names{"b"});
  EXPECT_EQ(log.count(LogLevel::error, "deleted"), 1U);
  EXPECT_EQ(*open()->history(), Names{"b"}) << "it is in the file that has the name";
}

TEST_F(SqliteBackendTest, ADamagedFileIsPutAside) {
  const auto backend = open();
  std::vector<TaskRecord> many;
  for (int i = 0; i < 200; ++i) {
    many.push_back(record("a" + std::to_string(i), true));
  }
  ASSERT_TRUE(write(*backend, many));
  // Truncated with its log: what an emptied disk quota or a restored backup leaves.
  as_another_process("PRAGMA wal_checkpoint(TRUNCATE)");
  std::filesystem::resize_file(options.file, 5000);
  Result<void> written{};
  for (int i = 0; i < 3 && log.count(LogLevel::error, "damaged") == 0; ++i) {
    written = write(*backend, {record("b" + std::to_string(i), true)});
  }
  EXPECT_EQ(log.count(LogLevel::error, "damaged"), 1U);
  EXPECT_TRUE(written) << "what was to be written is in the new file";
  EXPECT_FALSE(backend->history()->empty());
  std::size_t aside = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory.path())) {
    aside += entry.path().string().find(".damaged-") != std::string::npos ? 1U : 0U;
  }
  EXPECT_GE(aside, 1U);
}

/// No file of this process grows beyond the size for a while: a full disk.
class FullDisk {
 public:
  explicit FullDisk(std::uintmax_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  void (*handler_)(int);
  rlimit before_{};
};

TEST_F(SqliteBackendTest, AFullDiskIsAnErrorAndNoDamage) {
  const auto backend = open();
  ASSERT_TRUE(write(*backend, {record("a", true)}));
  std::vector<TaskRecord> many;
  for (int i = 0; i < 500; ++i) {
    many.push_back(record("b" + std::to_string(i), true));
  }
  {
    const FullDisk full(std::filesystem::file_size(directory / "tasks.db-wal") + 8192);
    EXPECT_FALSE(write(*backend, many));
    EXPECT_EQ(*backend->history(), Names{"a"}) << "all or nothing";
  }
  EXPECT_TRUE(write(*backend, many));
  EXPECT_EQ(backend->history()->size(), 501U);
  as_another_process(
      "SELECT CASE (SELECT integrity_check FROM pragma_integrity_check) WHEN 'ok' "
      "THEN 1 ELSE abs(-9223372036854775808) END");
}

TEST_F(SqliteBackendTest, AQueryByAnIndexedColumnReadsTheIndex) {
  const auto backend = open();
  for (const auto* query :
       {R"({"engine_uuid": "e"})", R"({"submitted": {"$gt": "2026-11-21T01:40:35Z"}})",
        R"({"completed": null})", R"({"label": "x"})", R"({"client_uuid": "c"})",
        R"({"queue": "mux"})", R"({"msg_id": "m"})"}) {
    const auto plan = backend->explain(*StoreQuery::parse(test::parsed(query)));
    EXPECT_EQ(plan.find("SCAN t"), std::string::npos) << query << ": " << plan;
    EXPECT_NE(plan.find("SEARCH t USING"), std::string::npos) << query << ": " << plan;
  }
}

}  // namespace
}  // namespace ipf
