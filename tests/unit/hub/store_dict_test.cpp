#include "hub/store_dict.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::wall_ms;
using Names = std::vector<std::string>;

class DictStoreTest : public testing::Test {
 protected:
  void TearDown() override { store.check_invariants(); }

  void submit(const std::string& msg_id, std::size_t buffer_bytes = 4) {
    store.apply(msg_id, RecordRequest{.queue = TaskQueue::task,
                                      .engine_uuid = {},
                                      .request = test::apply_request(
                                          msg_id, {.buffers = {std::string(buffer_bytes, 'x')}})});
    store.check_invariants();
  }
  void finish(const std::string& msg_id, const std::string& engine = "e0") {
    store.apply(msg_id, RecordReply{.engine_uuid = engine,
                                    .received = wall_ms(9),
                                    .reply = test::apply_reply(msg_id, engine)});
    store.check_invariants();
  }
  void print(const std::string& msg_id) {
    store.apply(msg_id, RecordOutput{.msg_type = "stream",
                                     .output = test::output(R"({"name": "stdout", "text": "x"})")});
    store.check_invariants();
  }
  [[nodiscard]] Names ids(const char* query) const {
    Names out;
    const auto found = store.find(*StoreQuery::parse(test::parsed(query)));
    for (const auto& record : *found) {
      out.push_back(record.msg_id);
    }
    return out;
  }

  DictStore store{{.record_limit = 10, .size_limit = 1UL << 20U, .cull_fraction = 0.2}};
};

TEST_F(DictStoreTest, RecordsComeInOrderOfSubmission) {
  for (const auto* id : {"c", "a", "b"}) {
    submit(id);
  }
  finish("b");
  finish("c");
  EXPECT_EQ(ids("{}"), (Names{"c", "a", "b"}));
  EXPECT_EQ(store.history(), (Names{"c", "a", "b"}));
  EXPECT_EQ(ids(R"({"completed": {"$ne": null}})"), (Names{"c", "b"}));
  EXPECT_EQ(ids(R"({"msg_id": {"$in": ["a", "b", "c", "x"]}})"), (Names{"c", "a", "b"}));
  EXPECT_EQ(ids(R"({"msg_id": "b", "completed": null})"), Names{});
}

TEST_F(DictStoreTest, AnOutputThatOvertakesItsRequestMakesAPartialRecord) {
  print("late");
  submit("early");
  EXPECT_EQ(store.history(), Names{"early"}) << "no request, no time of submission";
  EXPECT_EQ(ids("{}"), (Names{"late", "early"}));
  submit("late");
  EXPECT_EQ(store.history(), (Names{"early", "late"}));
  EXPECT_EQ(store.get("late")->stdout_text.text, "x");
}

TEST_F(DictStoreTest, AssignmentsAndResubmissionsBeginNoRecord) {
  store.apply("ghost", RecordAssignment{.engine_uuid = "e0"});
  store.apply("ghost", RecordResubmission{.new_msg_id = "x"});
  EXPECT_FALSE(store.get("ghost"));
  EXPECT_EQ(store.record_count(), 0U);
}

TEST_F(DictStoreTest, OverTheRecordLimitTheOldestFinishedGo) {
  for (int i = 0; i < 10; ++i) {
    submit(std::to_string(i));
  }
  finish("5");
  finish("2");
  finish("7");
  submit("10");
  EXPECT_EQ(store.record_count(), 9U);  // 11 less a fifth of 10
  EXPECT_FALSE(store.get("5"));
  EXPECT_FALSE(store.get("2"));
  EXPECT_TRUE(store.get("7"));
  EXPECT_TRUE(store.get("0")) << "pending records stay while finished ones can go";
  EXPECT_EQ(store.culled_count(), 2U);
}

TEST_F(DictStoreTest, WhenNothingIsFinishedTheOldestPendingGo) {
  for (int i = 0; i < 11; ++i) {
    submit(std::to_string(i));
  }
  EXPECT_EQ(store.history(), (Names{"2", "3", "4", "5", "6", "7", "8", "9", "10"}));
}

TEST_F(DictStoreTest, PartialRecordsOfBroadcastsDoNotPushPendingOnesOut) {
  submit("pending");
  for (int i = 0; i < 50; ++i) {
    print("broadcast_" + std::to_string(i));
  }
  EXPECT_TRUE(store.get("pending"));
}

TEST_F(DictStoreTest, OverTheSizeLimitTheOldestFinishedGoUntilThereIsRoom) {
  for (int i = 0; i < 5; ++i) {
    submit(std::to_string(i), 200'000);
    if (i < 4) {
      finish(std::to_string(i));
    }
  }
  EXPECT_EQ(store.record_count(), 5U);
  submit("5", 200'000);
  EXPECT_LE(store.bytes(), (1UL << 20U) * 8 / 10);
  EXPECT_FALSE(store.get("0"));
  EXPECT_FALSE(store.get("1"));
  EXPECT_TRUE(store.get("2"));
  EXPECT_TRUE(store.get("4"));
}

TEST_F(DictStoreTest, ARecordLargerThanTheWholeStoreDoesNotStay) {
  submit("small");
  submit("huge", 2UL << 20U);
  EXPECT_LE(store.bytes(), 1UL << 20U);
  EXPECT_FALSE(store.get("huge"));
}

TEST_F(DictStoreTest, AReplyToACulledTaskComesBackAsAPartialRecord) {
  for (int i = 0; i < 11; ++i) {
    submit(std::to_string(i));
  }
  ASSERT_FALSE(store.get("0"));
  finish("0");
  ASSERT_TRUE(store.get("0"));
  EXPECT_EQ(RecordReader(*store.get("0")).column(Column::header).at("msg_id"), "0");
}

TEST_F(DictStoreTest, DropTakesWhatMatches) {
  for (const auto* id : {"a", "b", "c", "d"}) {
    submit(id);
  }
  finish("a", "e0");
  finish("b", "e1");
  EXPECT_EQ(store.drop(StoreQuery::completed_on("e1")), 1U);
  EXPECT_EQ(store.history(), (Names{"a", "c", "d"}));
  EXPECT_EQ(store.drop(StoreQuery::completed()), 1U);
  EXPECT_TRUE(store.drop_one("c"));
  EXPECT_FALSE(store.drop_one("c"));
  EXPECT_EQ(store.drop(*StoreQuery::parse({{"msg_id", "d"}})), 1U);
  EXPECT_EQ(store.record_count(), 0U);
  EXPECT_EQ(store.bytes(), 0U);
}

TEST(NoStoreTest, KeepsNothing) {
  NoStore store;
  store.apply(
      "a", RecordRequest{
               .queue = TaskQueue::mux, .engine_uuid = "e", .request = test::apply_request("a")});
  EXPECT_TRUE(store.ask(1, GetRecords{.msg_ids = {"a"}})->records.empty());
  EXPECT_FALSE(store.keeps_records());
  EXPECT_STREQ(store.name(), "NoDB");
}

TEST(DictStoreProperty, StaysWithinItsLimitsUnderAnyOrderOfChanges) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    DictStore store{{.record_limit = 1 + rng.below(20),
                     .size_limit = 20'000 + rng.below(100'000),
                     .cull_fraction = 0.05 + rng.unit() * 0.9,
                     .record = {.stream_bytes_max = 500, .output_bytes_max = 300}}};
    for (int i = 0; i < 1500; ++i) {
      const std::string id = std::to_string(rng.below(60));
      switch (rng.below(7)) {
        case 0:
        case 1:
          store.apply(id, RecordRequest{.queue = TaskQueue::task,
                                        .engine_uuid = {},
                                        .request = test::apply_request(
                                            id, {.buffers = {std::string(rng.below(8000), 'x')}})});
          break;
        case 2:
        case 3:
          store.apply(
              id,
              RecordReply{.engine_uuid = "e", .received = {}, .reply = test::apply_reply(id, "e")});
          break;
        case 4:
          store.apply(id, RecordAssignment{.engine_uuid = "e"});
          break;
        case 5:
          store.apply(
              id,
              RecordOutput{.msg_type = rng.below(2) == 0 ? "stream" : "display_data",
                           .output = test::output(dump_json(
                               {{"name", "stdout"}, {"text", std::string(rng.below(400), 'y')}}))});
          break;
        default:
          rng.below(20) == 0 ? store.drop(StoreQuery::completed())
                             : std::size_t{store.drop_one(id)};
      }
      store.check_invariants();
    }
  }
}

}  // namespace
}  // namespace ipf
