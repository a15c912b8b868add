// One suite over all stores: the same changes, the same questions, the same answers.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "hub/store_dict.hpp"
#include "store/open_store.hpp"
#include "unit/store/mongo_testing.hpp"
#include "unit/store/store_testing.hpp"

namespace ipf {
namespace {

using test::AskedStore;
using test::visible;
using test::wall_ms;
using Names = std::vector<std::string>;

/// A store of the kind that the parameter names, with a directory of its own.
class AnyStore : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "Mongo" && !test::MongoServer::available()) {
      GTEST_SKIP() << "Maven or a JDK is missing: apt-get install maven default-jdk-headless";
    }
    store_ = std::make_unique<AskedStore>(make(GetParam()));
  }

  AskedStore& store() { return *store_; }
  std::unique_ptr<Store> make(const std::string& kind) {
    StoreOptions options;
    options.dict = {.record_limit = 100'000};
    options.sqlite.file = directory / ("tasks" + std::to_string(made_++) + ".db");
    options.kind = kind == "SQLite"  ? StoreKind::sqlite
                   : kind == "Mongo" ? StoreKind::mongo
                                     : StoreKind::dict;
    if (kind == "Mongo") {
      if (!server_) {
        server_ = std::make_unique<test::MongoServer>();
      }
      options.mongo.uri = server_->uri();
      options.mongo.collection = "records" + std::to_string(made_);
    }
    auto opened = open_store(options, log);
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }

  test::TempDir directory;
  test::StoreLog log;

 private:
  std::unique_ptr<test::MongoServer> server_;
  std::unique_ptr<AskedStore> store_;
  int made_{};
};

INSTANTIATE_TEST_SUITE_P(Kinds,
                         AnyStore,
                         testing::Values("Dict", "SQLite", "Mongo"),
                         [](const auto& kind) { return std::string(kind.param); });

RecordOutput output_of(const std::string& type, const Json& content) {
  return {.msg_type = type, .output = test::output(dump_json(content))};
}

/// a: direct, done. b: waits. c: done on e2, without label. d: output without a request. e: failed,
/// with all outputs. f: broken metadata. g: whole second, never seen again.
void fill(AskedStore& store) {
  store.request("a", TaskQueue::mux, "e1", {.date_ms = 0, .metadata = R"({"label": "alpha"})"});
  store.reply("a", "e1");
  store.request("b", TaskQueue::task, "",
                {.date_ms = 1000, .metadata = R"({"label": "beta", "after": ["a"]})"});
  store.request("c", TaskQueue::task, "",
                {.date_ms = 2010, .metadata = R"({"label": null, "n": 7})"});
  store->apply("c", RecordAssignment{.engine_uuid = "e2"});
  store.reply("c", "e2", {.date_ms = 2030, .metadata = {}, .buffers = {"one", "", "three"}});
  store.print("d", "who said this\n");
  store.request("e", TaskQueue::task, "",
                {.date_ms = 3000, .metadata = R"({"label": "alp*ha"})", .buffers = {}});
  store->apply("e", output_of("execute_input", {{"code", "1/0"}}));
  store->apply("e", output_of("execute_result", {{"data", {{"text/plain", "1"}}}}));
  store->apply("e", output_of("error", {{"ename", "ZeroDivisionError"}}));
  store->apply("e", output_of("display_data", {{"data", {{"n", 5}}}}));
  store->apply("e", output_of("stream", {{"name", "stderr"}, {"text", "oh"}}));
  store.reply("e", "", {.date_ms = 3050, .metadata = R"({"status": "error"})", .buffers = {}});
  store.request("f", TaskQueue::broadcast, "e1", {.date_ms = 4000, .metadata = "{broken"});
  store.request("g", TaskQueue::mux, "e3", {.date_ms = 5000, .metadata = R"({"label": ""})"});
  store->apply("g", RecordResubmission{.new_msg_id = "h"});
}

struct Question {
  const char* query{};
  Names expected{};
};

TEST_P(AnyStore, AQueryMeansTheSame) {
  AskedStore& store = this->store();
  fill(store);
  const std::vector<Question> questions{
      {R"({})", {"a", "b", "c", "d", "e", "f", "g"}},
      {R"({"msg_id": "c"})", {"c"}},
      {R"({"msg_id": {"$in": ["g", "nobody", "a", 5, null]}})", {"a", "g"}},
      {R"({"msg_id": {"$nin": ["a", "b"]}})", {"c", "d", "e", "f", "g"}},
      {R"({"msg_id": {"$in": []}})", {}},
      {R"({"msg_id": {"$nin": []}})", {"a", "b", "c", "d", "e", "f", "g"}},
      {R"({"msg_id": 5})", {}},
      {R"({"queue": "task"})", {"b", "c", "e"}},
      {R"({"queue": "task", "label": "beta"})", {"b"}},
      {R"({"queue": null})", {"d"}},
      {R"({"queue": {"$ne": "task"}})", {"a", "d", "f", "g"}},
      {R"({"queue": {"$in": ["mux", null]}})", {"a", "d", "g"}},
      {R"({"queue": {"$nin": ["mux", null]}})", {"b", "c", "e", "f"}},
      {R"({"label": null})", {"c", "d", "f"}},
      {R"({"label": {"$ne": null}})", {"a", "b", "e", "g"}},
      {R"({"label": {"$exists": true}})", {"a", "b", "e", "g"}},
      {R"({"label": {"$exists": 0}})", {"c", "d", "f"}},
      {R"({"label": ""})", {"g"}},
      {R"({"label": {"$glob": "alp*"}})", {"a", "e"}},
      {R"({"label": {"$glob": "alp[*]ha"}})", {"e"}},
      {R"({"label": {"$gt": "alpha", "$lte": "beta"}})", {"b"}},
      {R"({"label": {"$lt": "alpha"}})", {"e", "g"}},
      {R"({"label": {"$gte": 5}})", {}},
      {R"({"label": {"$all": ["beta"]}})", {"b"}},
      {R"({"label": {"$all": []}})", {}},
      {R"({"label": {"$mod": [2, 1]}})", {}},
      {R"({"engine_uuid": "e1"})", {"a", "f"}},
      {R"({"engine_uuid": ""})", {"e"}},
      {R"({"engine_uuid": null})", {"b", "d"}},
      {R"({"client_uuid": "c1c1c1c1-00000000000000000000c1c1"})", {"a", "b", "c", "e", "f", "g"}},
      {R"({"client_uuid": null})", {"d"}},
      {R"({"resubmitted": "h"})", {"g"}},
      {R"({"resubmitted": null})", {"a", "b", "c", "d", "e", "f"}},
      {R"({"completed": null})", {"b", "d", "f", "g"}},
      {R"({"completed": {"$ne": null}})", {"a", "c", "e"}},
      {R"({"completed": {"$gt": "2026-11-21T01:40:37Z"}})", {"c", "e"}},
      {R"({"submitted": "2026-11-21T01:40:36Z"})", {"b"}},
      {R"({"submitted": "2026-11-21T02:40:36.000+01:00"})", {"b"}},
      {R"({"submitted": {"$ne": "2026-11-21T01:40:36Z"}})", {"a", "c", "d", "e", "f", "g"}},
      {R"({"submitted": {"$lt": "2026-11-21T01:40:36Z"}})", {"a"}},
      {R"({"submitted": {"$lte": "2026-11-21T01:40:36Z"}})", {"a", "b"}},
      {R"({"submitted": {"$gt": "2026-11-21T01:40:39Z"}})", {"g"}},
      {R"({"submitted": {"$gte": "2026-11-21T01:40:39Z"}})", {"f", "g"}},
      {R"({"submitted": {"$in": ["2026-11-21T01:40:40Z", "2026-11-21T01:40:37.010Z"]}})",
       {"c", "g"}},
      {R"({"submitted": {"$glob": "*:37.*"}})", {"c"}},
      {R"({"submitted": {"$gt": 1.5}})", {"a", "b", "c", "e", "f", "g"}},
      {R"({"submitted": {"$mod": [1000000, 0]}})", {"a", "b", "e", "f", "g"}},
      {R"({"received": {"$exists": true}})", {"a", "c", "e"}},
      {R"({"started": {"$exists": true}})", {"a", "c"}},
      {R"({"metadata": {"$exists": false}})", {"d", "f"}},
      {R"({"metadata": {"$eq": {"n": 7, "label": null}}})", {"c"}},
      {R"({"content": {"$ne": null}})", {"a", "b", "c", "e", "f", "g"}},
      {R"({"result_content": {"$in": [{"status": "ok"}]}})", {"a", "c", "e"}},
      {R"({"result_metadata": {"$eq": {"status": "error"}}})", {"e"}},
      {R"({"buffers": null, "msg_id": "a"})", {"a"}},
      {R"({"result_buffers": {"$exists": true}})", {}},
      {R"({"stdout": {"$glob": "*said*"}})", {"d"}},
      {R"({"stdout": ""})", {"a", "b", "c", "e", "f", "g"}},
      {R"({"stderr": "oh"})", {"e"}},
      {R"({"execute_input": "1/0"})", {"e"}},
      {R"({"error": {"$eq": {"ename": "ZeroDivisionError"}}})", {"e"}},
      {R"({"display_data": {"$ne": null}})", {"e"}},
      {R"({"execute_result": {"$exists": true}, "queue": "mux"})", {}},
  };
  for (const auto& question : questions) {
    EXPECT_EQ(store.ids(test::parsed(question.query)), question.expected) << question.query;
  }
}

TEST_P(AnyStore, ALongListIsOnlyALongList) {
  AskedStore& store = this->store();
  fill(store);
  Json ids = Json::array();
  for (int i = 0; i < 3000; ++i) {
    ids.push_back("x" + std::to_string(i));
  }
  EXPECT_EQ(store.ids({{"msg_id", {{"$in", ids}}}}), Names{});
  ids.push_back("b");
  ids.push_back("a");
  EXPECT_EQ(store.ids({{"msg_id", {{"$in", ids}}}, {"queue", "task"}}), Names{"b"});
  EXPECT_EQ(store.ids({{"msg_id", {{"$nin", ids}}}}), (Names{"c", "d", "e", "f", "g"}));
  ids.push_back("alpha");
  EXPECT_EQ(store.ids({{"label", {{"$in", ids}}}}), Names{"a"});
}

TEST_P(AnyStore, ARecordReadsAsItWasSeen) {
  AskedStore& store = this->store();
  fill(store);
  AskedStore expected(std::make_unique<DictStore>());
  fill(expected);
  for (const auto* id : {"a", "b", "c", "d", "e", "f", "g"}) {
    ASSERT_TRUE(store.get(id)) << id;
    EXPECT_EQ(visible(*store.get(id)), visible(*expected.get(id))) << id;
    EXPECT_EQ(visible(store.find({{"msg_id", id}}).at(0)), visible(*expected.get(id))) << id;
  }
  EXPECT_FALSE(store.get("nobody"));
}

TEST_P(AnyStore, LateOutputJoinsItsRecord) {
  AskedStore& store = this->store();
  store.request("a");
  store.reply("a");
  EXPECT_EQ(store.ids({{"msg_id", "a"}}), Names{"a"}) << "all is written now";
  store.print("a", "one ");
  EXPECT_EQ(store.find({{"msg_id", "a"}}).at(0).stdout_text.text, "one ");
  store.print("a", "two");
  const auto record = store.get("a");
  EXPECT_EQ(record->stdout_text.text, "one two");
  EXPECT_EQ(visible(*record).at("result_buffers"), Json({"result"}));
  EXPECT_EQ(visible(*record).at("buffers"), Json({"call"}));
}

TEST_P(AnyStore, AnOutputMayComeBeforeItsRequest) {
  AskedStore& store = this->store();
  store.print("early", "x");
  store.request("first");
  EXPECT_EQ(store.history(), Names{"first"});
  EXPECT_EQ(store.ids(Json::object()), (Names{"early", "first"}));
  store.request("early");
  EXPECT_EQ(store.history(), (Names{"first", "early"}));
  EXPECT_EQ(store.ids(Json::object()), (Names{"first", "early"}));
  EXPECT_EQ(store.get("early")->stdout_text.text, "x");
}

TEST_P(AnyStore, AssignmentsAndResubmissionsOfUnknownTasksAreNothing) {
  AskedStore& store = this->store();
  store->apply("ghost", RecordAssignment{.engine_uuid = "e"});
  store->apply("ghost", RecordResubmission{.new_msg_id = "new"});
  EXPECT_FALSE(store.get("ghost"));
  EXPECT_EQ(store.ids(Json::object()), Names{});
}

TEST_P(AnyStore, AReplyAloneIsARecord) {
  AskedStore& store = this->store();
  store.reply("lonely", "e7");
  const auto record = store.find({{"engine_uuid", "e7"}}).at(0);
  EXPECT_EQ(visible(record).at("header").at("msg_id"), "lonely") << "the reply repeats it";
  EXPECT_EQ(visible(record).at("queue"), Json());
  EXPECT_EQ(store.history(), Names{});
}

TEST_P(AnyStore, DropsWhatItIsTold) {
  AskedStore& store = this->store();
  fill(store);
  EXPECT_EQ(store.ask(DropRecords{.msg_ids = {"b", "nobody"}}).dropped, 1U);
  EXPECT_EQ(store.ask(DropRecords{.queries = {StoreQuery::completed_on("e2")}}).dropped, 1U);
  EXPECT_EQ(store.ids(Json::object()), (Names{"a", "d", "e", "f", "g"}));
  EXPECT_EQ(store.ask(DropRecords{.queries = {StoreQuery::completed()}}).dropped, 2U);
  EXPECT_EQ(store.ids(Json::object()), (Names{"d", "f", "g"}));
  EXPECT_FALSE(store.get("a"));
  EXPECT_EQ(store.history(), (Names{"f", "g"}));
  store->apply("a", RecordAssignment{.engine_uuid = "e9"});
  EXPECT_FALSE(store.get("a")) << "what is purged does not come back";
}

TEST_P(AnyStore, TooManyRecordsAreRefused) {
  AskedStore& store = this->store();
  fill(store);
  const auto answer = store.ask(FindRecords{.query = {}, .records_max = 6});
  ASSERT_TRUE(answer.failure);
  EXPECT_EQ(answer.failure->code, ErrorCode::too_large);
  EXPECT_NE(answer.failure->message.find("narrow"), std::string::npos);
  EXPECT_TRUE(answer.records.empty());
  EXPECT_EQ(store.ask(FindRecords{.query = {}, .records_max = 7}).records.size(), 7U);
}

TEST_P(AnyStore, AnyBytesAreKept) {
  AskedStore& store = this->store();
  std::string bytes;
  for (int i = 0; i < 70'000; ++i) {
    bytes.push_back(static_cast<char>(i));
  }
  store.request("a", TaskQueue::mux, std::string("e\0\xff", 3),
                {.buffers = {bytes, "", bytes, "x"}});
  store.reply("a", std::string("e\0\xff", 3), {.date_ms = 20, .metadata = {}, .buffers = {bytes}});
  const auto record = store.find(Json::object()).at(0);
  EXPECT_EQ(test::texts(buffers_of(record.request)), (Names{bytes, "", bytes, "x"}));
  EXPECT_EQ(test::texts(buffers_of(record.reply)), Names{bytes});
  EXPECT_EQ(record.engine_uuid, std::string("e\0\xff", 3));
}

// ---- property: random changes and questions -----------------------------------------------------

Json random_value(Rng& rng) {
  switch (rng.below(8)) {
    case 0:
      return nullptr;
    case 1:
      return static_cast<int>(rng.below(5));
    case 2:
      return to_iso(wall_ms(static_cast<std::int64_t>(rng.below(8)) * 500));
    case 3:
      return "e" + std::to_string(rng.below(3));
    case 4:
      return "m" + std::to_string(rng.below(30));
    case 5:
      return Json({{"label", rng.below(2) == 0 ? Json() : Json("l1")}});
    case 6:
      return rng.below(2) == 0 ? "task" : "mux";
    default:
      return "l" + std::to_string(rng.below(3));
  }
}

Json random_query(Rng& rng) {
  constexpr std::array<const char*, 16> names{
      "msg_id",    "metadata", "submitted", "client_uuid", "engine_uuid", "started",
      "completed", "queue",    "received",  "label",       "stdout",      "resubmitted",
      "header",    "content",  "buffers",   "display_data"};
  constexpr std::array<const char*, 12> operators{"$eq",  "$ne",  "$lt",     "$lte",
                                                  "$gt",  "$gte", "$in",     "$nin",
                                                  "$all", "$mod", "$exists", "$glob"};
  Json query = Json::object();
  const auto conditions = rng.below(3);
  for (std::uint64_t i = 0; i <= conditions; ++i) {
    Json& tests = query[names.at(rng.below(names.size()))];
    if (rng.below(4) == 0) {
      tests = random_value(rng);
      continue;
    }
    tests = Json::object();
    const auto* op = operators.at(rng.below(operators.size()));
    Json operand = random_value(rng);
    if (std::string(op) == "$in" || std::string(op) == "$nin" || std::string(op) == "$all") {
      operand = Json::array();
      for (std::uint64_t items = rng.below(4); items > 0; --items) {
        operand.push_back(random_value(rng));
      }
    } else if (std::string(op) == "$mod") {
      operand = {rng.below(4), rng.below(3)};
    } else if (std::string(op) == "$glob") {
      operand = rng.below(2) == 0 ? "*1*" : "[lem]?";
    } else if (std::string(op) == "$exists") {
      operand = rng.below(2) == 0;
    }
    tests[op] = std::move(operand);
  }
  return query;
}

void random_change(AskedStore& a, AskedStore& b, Rng& rng) {
  const std::string id = "m" + std::to_string(rng.below(30));
  const std::string engine = rng.below(4) == 0 ? "" : "e" + std::to_string(rng.below(3));
  const auto date = static_cast<std::int64_t>(rng.below(8)) * 500;
  const std::string metadata =
      rng.below(8) == 0 ? "[]" : R"({"label": "l)" + std::to_string(rng.below(3)) + R"("})";
  const auto queue =
      std::array{TaskQueue::mux, TaskQueue::task, TaskQueue::broadcast}.at(rng.below(3));
  const auto kind = rng.below(7);
  const auto gone = rng.below(30);
  for (AskedStore* store : {&a, &b}) {
    switch (kind) {
      case 0:
      case 1:
        store->request(id, queue, engine, {.date_ms = date, .metadata = metadata});
        break;
      case 2:
      case 3:
        store->reply(id, engine, {.date_ms = date, .metadata = {}, .buffers = {"r" + id}});
        break;
      case 4:
        store->print(id, "l1");
        break;
      case 5:
        (*store)->apply(id, RecordAssignment{.engine_uuid = engine});
        break;
      default:
        if (gone == 0) {
          store->ask(DropRecords{.msg_ids = {id}});
        }
    }
  }
}

/// The databases, which are compared with DictDB.
class Database : public AnyStore {};

INSTANTIATE_TEST_SUITE_P(Kinds, Database, testing::Values("SQLite", "Mongo"), [](const auto& kind) {
  return std::string(kind.param);
});

TEST_P(Database, AnswersLikeTheDictionaryInMemory) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    AskedStore real(make(GetParam()));
    AskedStore model(make("Dict"));
    const int rounds = std::string(GetParam()) == "Mongo" ? 100 : 400;
    for (int i = 0; i < rounds; ++i) {
      random_change(real, model, rng);
      const Json query = random_query(rng);
      const auto parsed_query = StoreQuery::parse(query);
      if (!parsed_query) {
        continue;
      }
      ASSERT_EQ(real.ids(query), model.ids(query)) << query;
      if (i % 20 == 0) {
        ASSERT_EQ(real.history(), model.history());
        const auto found = real.find(Json::object());
        const auto expected = model.find(Json::object());
        ASSERT_EQ(found.size(), expected.size());
        for (std::size_t n = 0; n < found.size(); ++n) {
          ASSERT_EQ(visible(found[n]), visible(expected[n]));
        }
      }
    }
  }
}

}  // namespace
}  // namespace ipf
