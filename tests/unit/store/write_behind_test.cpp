#include "store/write_behind.hpp"

#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "hub/record_change.hpp"
#include "unit/store/store_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using test::ms;
using Names = std::vector<std::string>;

/// A database in memory that counts and fails when it is told to.
class FakeBackend final : public StoreBackend {
 public:
  [[nodiscard]] const char* name() const override { return "FakeDB"; }
  Result<void> write(const std::vector<RecordWrite>& records) override {
    ++writes;
    if (broken || read_only) {
      return unexpected(ErrorCode::io, "the disk is full");
    }
    for (const auto& one : records) {
      rows[one.record->msg_id] = *one.record;
      ++rows_written;
    }
    return {};
  }
  Result<std::optional<TaskRecord>> load(const std::string& msg_id) override {
    ++loads;
    if (broken) {
      return unexpected(ErrorCode::io, "the disk is gone");
    }
    const auto found = rows.find(msg_id);
    return found == rows.end() ? std::nullopt : std::optional(found->second);
  }
  Result<std::vector<TaskRecord>> find(const StoreQuery& query, std::size_t /*most*/) override {
    if (broken) {
      return unexpected(ErrorCode::io, "the disk is gone");
    }
    std::vector<TaskRecord> found;
    for (const auto& [msg_id, row] : rows) {
      if (matches(row, query)) {
        found.push_back(row);
      }
    }
    return found;
  }
  Result<std::size_t> drop(const DropRecords& unwanted) override {
    if (broken || read_only) {
      return unexpected(ErrorCode::io, "the disk is full");
    }
    std::size_t dropped = 0;
    for (const auto& msg_id : unwanted.msg_ids) {
      dropped += rows.erase(msg_id);
    }
    return dropped;
  }
  Result<std::vector<std::string>> history() override {
    Names ids;
    for (const auto& [msg_id, row] : rows) {
      ids.push_back(msg_id);
    }
    return ids;
  }

  Result<std::vector<std::string>> unfinished(std::size_t /*most*/) override {
    Names ids;
    for (const auto& [msg_id, row] : rows) {
      if (!row.reply) {
        ids.push_back(msg_id);
      }
    }
    return ids;
  }

  std::map<std::string, TaskRecord> rows;
  bool broken{false};
  bool read_only{false};
  int writes{};
  int rows_written{};
  int loads{};
};

class WriteBehindTest : public testing::Test {
 protected:
  void TearDown() override { writer.check_invariants(); }

  void request(const std::string& msg_id) {
    apply(msg_id,
          RecordRequest{
              .queue = TaskQueue::task, .engine_uuid = {}, .request = test::apply_request(msg_id)});
  }
  void reply(const std::string& msg_id) {
    apply(msg_id, RecordReply{.engine_uuid = "e",
                              .received = test::wall_ms(9),
                              .reply = test::apply_reply(msg_id, "e")});
  }
  void print(const std::string& msg_id, const std::string& text) {
    apply(msg_id,
          RecordOutput{.msg_type = "stream",
                       .output = test::output(dump_json({{"name", "stdout"}, {"text", text}}))});
  }
  void apply(const std::string& msg_id, RecordChange change) {
    writer.apply(now, msg_id, std::move(change));
    writer.check_invariants();
  }
  void wait(std::int64_t count) {
    now = now + ms(count);
    writer.step(now);
    writer.check_invariants();
  }
  std::optional<TaskRecord> get(const std::string& msg_id) {
    auto answer = writer.ask(now, GetRecords{.msg_ids = {msg_id}});
    EXPECT_FALSE(answer.failure);
    return answer.records.empty() ? std::nullopt : std::optional(answer.records[0]);
  }

  FakeBackend backend;
  test::StoreLog log;
  WriteBehind writer{backend,
                     {.commit_every = ms(50),
                      .commit_records = 10,
                      .finished_max = 3,
                      .unfinished_max = 4,
                      .dirty_max = 12,
                      .retry_first = ms(100),
                      .retry_most = ms(400)},
                     log};
  TimePoint now{at_ms(1000)};
};

TEST_F(WriteBehindTest, AShortTaskIsWrittenOnceAndWhole) {
  request("a");
  apply("a", RecordAssignment{.engine_uuid = "e"});
  reply("a");
  EXPECT_EQ(backend.writes, 0);
  EXPECT_EQ(writer.next_deadline(), at_ms(1050));
  wait(50);
  EXPECT_EQ(backend.rows_written, 1);
  EXPECT_EQ(backend.loads, 0);
  EXPECT_TRUE(backend.rows.at("a").request && backend.rows.at("a").reply);
  EXPECT_EQ(writer.next_deadline(), TimePoint::never());
}

TEST_F(WriteBehindTest, ManyChangesAreNotWaitedFor) {
  for (int i = 0; i < 10; ++i) {
    request("t" + std::to_string(i));
  }
  EXPECT_EQ(backend.rows_written, 10);
}

TEST_F(WriteBehindTest, AQuestionSeesEveryChangeBeforeIt) {
  request("a");
  EXPECT_TRUE(get("a")->request);
  EXPECT_EQ(writer.ask(now, FindRecords{.query = {}, .records_max = 9}).records.size(), 1U);
  EXPECT_EQ(writer.ask(now, ListHistory{}).history, Names{"a"});
  EXPECT_EQ(writer.dirty_count(), 0U) << "it was written for the question";
}

TEST_F(WriteBehindTest, ARecordThatLeftTheMemoryIsLoadedForAChange) {
  request("old");
  wait(50);
  for (int i = 0; i < 5; ++i) {
    request("t" + std::to_string(i));
  }
  wait(50);
  EXPECT_EQ(backend.loads, 0);
  reply("old");
  EXPECT_EQ(backend.loads, 1);
  wait(50);
  EXPECT_TRUE(backend.rows.at("old").request && backend.rows.at("old").reply);
}

TEST_F(WriteBehindTest, AnEarlyOutputIsNotForgotten) {
  print("early", "x");
  wait(50);
  for (int i = 0; i < 5; ++i) {
    request("t" + std::to_string(i));
  }
  wait(50);
  request("early");
  wait(50);
  EXPECT_EQ(backend.rows.at("early").stdout_text.text, "x");
  EXPECT_TRUE(backend.rows.at("early").request);
}

TEST_F(WriteBehindTest, AFailureIsToldOnceAndTriedAgainWithGrowingDistance) {
  backend.read_only = true;
  request("a");
  wait(50);
  EXPECT_TRUE(writer.failing());
  EXPECT_EQ(log.count(LogLevel::error), 1U);
  EXPECT_EQ(log.count(LogLevel::error, "FakeDB::the disk is full"), 1U);
  std::vector<std::int64_t> distances;
  for (int i = 0; i < 4; ++i) {
    const auto distance = writer.next_deadline() - now;
    distances.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(distance).count());
    wait(distances.back());
  }
  EXPECT_EQ(distances, (std::vector<std::int64_t>{100, 200, 400, 400}));
  EXPECT_EQ(log.count(LogLevel::warning), 1U) << "one line only";
  backend.read_only = false;
  wait(400);
  EXPECT_FALSE(writer.failing());
  EXPECT_TRUE(backend.rows.contains("a"));
  EXPECT_EQ(log.count(LogLevel::warning, "writes again"), 1U);
  EXPECT_EQ(log.count(LogLevel::warning, "0 task records were lost"), 1U);
}

TEST_F(WriteBehindTest, WhileTheDiskIsFullQuestionsKnowWhatIsInMemory) {
  request("a");
  wait(50);
  backend.read_only = true;
  reply("a");
  request("b");
  wait(50);
  EXPECT_TRUE(get("a")->reply);
  const auto found = writer.ask(now, FindRecords{.query = {}, .records_max = 9});
  ASSERT_EQ(found.records.size(), 2U) << "each once";
  EXPECT_TRUE(found.records[0].reply || found.records[1].reply);
  EXPECT_EQ(writer.ask(now, FindRecords{.query = StoreQuery::completed(), .records_max = 9})
                .records.size(),
            1U);
  EXPECT_EQ(writer.ask(now, ListHistory{}).history, (Names{"a", "b"}));
  EXPECT_TRUE(writer.ask(now, DropRecords{.msg_ids = {"a"}}).failure) << "never silence";
}

TEST_F(WriteBehindTest, WhatCannotBeReadIsMergedLater) {
  request("old");
  print("old", "one ");
  wait(50);
  for (int i = 0; i < 5; ++i) {
    request("t" + std::to_string(i));
  }
  wait(50);
  backend.broken = true;
  reply("old");
  print("old", "two");
  EXPECT_TRUE(writer.failing());
  EXPECT_TRUE(writer.ask(now, GetRecords{.msg_ids = {"elsewhere"}}).failure);
  wait(100);
  backend.broken = false;
  wait(400);
  const auto& row = backend.rows.at("old");
  EXPECT_TRUE(row.request && row.reply);
  EXPECT_EQ(row.stdout_text.text, "one two");
}

TEST_F(WriteBehindTest, TheMemoryIsBoundedWhileTheDiskIsFull) {
  backend.read_only = true;
  request("waiting");
  wait(50);
  for (int i = 0; i < 20; ++i) {
    request("t" + std::to_string(i));
    reply("t" + std::to_string(i));
  }
  EXPECT_EQ(writer.dirty_count(), 12U);
  EXPECT_EQ(writer.lost_count(), 9U);
  EXPECT_TRUE(get("waiting")) << "finished ones go first";
  EXPECT_TRUE(get("t19"));
  backend.read_only = false;
  wait(400);
  EXPECT_EQ(log.count(LogLevel::warning, "9 task records were lost"), 1U);
}

TEST_F(WriteBehindTest, ARestoredControllerSeesARequestAgain) {
  request("a");
  print("a", "before the crash ");
  wait(50);
  WriteBehind restored(backend, {.commit_every = ms(50)}, log);
  restored.begin(now);
  restored.apply(
      now, "a",
      RecordRequest{
          .queue = TaskQueue::task, .engine_uuid = {}, .request = test::apply_request("a")});
  restored.finish(now);
  EXPECT_EQ(backend.rows.at("a").stdout_text.text, "before the crash ");
}

TEST_F(WriteBehindTest, TheEndWritesEverything) {
  request("a");
  writer.finish(now);
  EXPECT_TRUE(backend.rows.contains("a"));
  backend.read_only = true;
  request("b");
  writer.finish(now);
  EXPECT_EQ(log.count(LogLevel::error, "1 task records could not be written"), 1U);
}

}  // namespace
}  // namespace ipf
