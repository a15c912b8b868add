#include "hub/client_queries.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::only;
using test::parsed;
using Names = std::vector<std::string>;

class ClientQueriesTest : public testing::Test {
 protected:
  void SetUp() override {
    hub.add_engine("e0");
    hub.add_engine("e1");
  }
  void expect_error(const Json& content, const std::string& ename, const std::string& evalue) {
    EXPECT_EQ(content.at("status"), "error");
    EXPECT_EQ(content.at("ename"), ename);
    EXPECT_EQ(content.at("evalue"), evalue);
    EXPECT_TRUE(content.at("traceback").is_array());
    EXPECT_EQ(content.at("engine_info"), Json::object());
  }
  Json result(const Json& msg_ids, bool status_only = false) {
    return hub.ask("result_request", {{"msg_ids", msg_ids}, {"status_only", status_only}},
                   "result_reply");
  }
  Json db(const char* query, const Json& keys = nullptr) {
    return hub.ask("db_request", {{"query", parsed(query)}, {"keys", keys}}, "db_reply");
  }

  DictStore store;
  test::TestHub hub{store, {.queries = {.session_id = "hubsession"}}};
};

TEST_F(ClientQueriesTest, AConnectionReplyNamesTheCompleteEngines) {
  hub.request("registration_request", {{"uuid", "pending"}}, "pending");
  EXPECT_EQ(hub.ask("connection_request", Json::object(), "connection_reply"),
            parsed(R"({"status": "ok", "engines": {"0": "e0", "1": "e1"}})"));
}

TEST_F(ClientQueriesTest, RepliesGoBackTheWayTheyCame) {
  const auto actions = hub.request("connection_request", Json::object(), "somewhere");
  EXPECT_EQ(only<SendHubReply>(actions).request.identity(0), "somewhere");
}

TEST_F(ClientQueriesTest, QueueCountsFollowTheTasks) {
  hub.submit("m1", TaskQueue::mux, "e0");
  hub.submit("m2", TaskQueue::mux, "e0");
  hub.submit("t1", TaskQueue::task, "");
  hub.submit("t2", TaskQueue::task, "");
  hub.step(TaskAssigned{.msg_id = "t1", .engine_uuid = "e0"});
  hub.step(TaskAssigned{.msg_id = "t1", .engine_uuid = "e1"});
  hub.finish("m1", TaskQueue::mux, "e0");
  EXPECT_EQ(hub.ask("queue_request", {{"targets", nullptr}}, "queue_reply"),
            parsed(R"({"status": "ok",
      "0": {"queue": 1, "completed": 1, "tasks": 0}, "1": {"queue": 0, "completed": 0, "tasks": 1}, "unassigned": 1})"));
  EXPECT_EQ(hub.ask("queue_request", {{"targets", {0, "e1"}}, {"verbose", true}}, "queue_reply"),
            parsed(R"({"status": "ok", "0": {"queue": ["m2"], "completed": ["m1"], "tasks": []},
                       "1": {"queue": [], "completed": [], "tasks": ["t1"]}, "unassigned": ["t2"]})"));
  EXPECT_EQ(hub.ask("load_request", {{"targets", nullptr}}, "load_reply"),
            parsed(R"({"status": "ok", "0": 1, "1": 1})"));
}

TEST_F(ClientQueriesTest, AllMeansTheEnginesThatAreHere) {
  hub.step(HeartStopped{.uuid = "e0"});
  const Json reply = hub.ask("queue_request", {{"targets", nullptr}}, "queue_reply");
  EXPECT_FALSE(reply.contains("0"));
  EXPECT_TRUE(reply.contains("1"));
}

TEST_F(ClientQueriesTest, AnEngineThatIsNotHereIsAnIndexError) {
  hub.step(HeartStopped{.uuid = "e0"});
  for (const auto* type : {"queue_request", "load_request"}) {
    expect_error(hub.ask(type, {{"targets", {1, 0, 7, "who"}}}, "hub_error"), "IndexError",
                 "No Such Engine: [0, 7, 'who']");
    expect_error(hub.ask(type, {{"targets", Json::array()}}, "hub_error"), "IndexError",
                 "No Engines Registered");
  }
}

TEST_F(ClientQueriesTest, ResultsArePendingThenCompleted) {
  hub.submit("b", TaskQueue::mux, "e0");
  hub.submit("a", TaskQueue::task, "");
  EXPECT_EQ(result({"b", "a", "b"}),
            parsed(R"({"status": "ok", "pending": ["a", "b"], "completed": []})"));
  hub.finish("b", TaskQueue::mux, "e0");
  EXPECT_EQ(result({"b", "a"}, true),
            parsed(R"({"status": "ok", "pending": ["a"], "completed": ["b"]})"));
  const Json full = result({"b", "a"});
  EXPECT_EQ(full.at("pending"), Json({"a"}));
  EXPECT_EQ(full.at("completed"), Json({"b"}));
  const Json& one = full.at("b");
  EXPECT_EQ(one.at("header").at("msg_id"), "b");
  EXPECT_EQ(one.at("result_header").at("msg_type"), "apply_reply");
  EXPECT_EQ(one.at("result_content").at("status"), "ok");
  EXPECT_EQ(one.at("result_metadata").at("engine"), "e0");
  EXPECT_TRUE(one.at("metadata").contains("label"));
  EXPECT_TRUE(one.at("received").is_string());
  EXPECT_EQ(
      one.at("io"),
      parsed(
          R"({"execute_input": null, "execute_result": null, "error": null, "stdout": "", "stderr": ""})"));
  EXPECT_EQ(hub.reply_buffers(), Names{"result"});
}

TEST_F(ClientQueriesTest, ResultBuffersFollowTheSortedMsgIds) {
  for (const auto* id : {"c", "a", "b"}) {
    hub.submit(id, TaskQueue::mux, "e0");
    hub.step(ReplySeen{
        .queue = TaskQueue::mux,
        .msg_id = id,
        .engine_uuid = "e0",
        .reply = test::apply_reply(
            id, "e0",
            {.metadata = {}, .buffers = {std::string(id) + "1", std::string(id) + "2"}})});
  }
  result({"c", "b", "a"});
  EXPECT_EQ(hub.reply_buffers(), (Names{"a1", "a2", "b1", "b2", "c1", "c2"}));
}

TEST_F(ClientQueriesTest, AnUnknownResultIsAKeyErrorInTheResultReply) {
  hub.submit("known", TaskQueue::mux, "e0");
  expect_error(result({"known", "what"}), "KeyError", "'No such message: what'");
  expect_error(result({"what"}, true), "KeyError", "'No such message: what'");
}

TEST_F(ClientQueriesTest, AFinishedTaskIsCompletedEvenWhenItsRecordIsGone) {
  hub.submit("m", TaskQueue::mux, "e0");
  hub.finish("m", TaskQueue::mux, "e0");
  store.drop_one("m");
  EXPECT_EQ(result({"m"}, true).at("completed"), Json({"m"}));
  EXPECT_EQ(result({"m"}).at("ename"), "KeyError");
}

TEST_F(ClientQueriesTest, APendingTaskIsPendingEvenWhenItsRecordIsGone) {
  hub.submit("m", TaskQueue::mux, "e0");
  store.drop_one("m");
  EXPECT_EQ(result({"m"}).at("pending"), Json({"m"}));
}

TEST_F(ClientQueriesTest, ATaskOfAnEarlierTimeIsJudgedByItsRecord) {
  store.apply(
      "old",
      RecordReply{.engine_uuid = "e", .received = {}, .reply = test::apply_reply("old", "e")});
  store.apply("lost", RecordRequest{.queue = TaskQueue::mux,
                                    .engine_uuid = "e",
                                    .request = test::apply_request("lost")});
  const Json reply = result({"old", "lost"}, true);
  EXPECT_EQ(reply.at("completed"), Json({"old"}));
  EXPECT_EQ(reply.at("pending"), Json({"lost"}));
}

TEST_F(ClientQueriesTest, AMsgIdLikeAKeyOfTheReplyDoesNoHarm) {
  for (const auto* id : {"pending", "completed", "status"}) {
    hub.submit(id, TaskQueue::mux, "e0");
    hub.finish(id, TaskQueue::mux, "e0");
  }
  const Json reply = result({"pending", "completed", "status"});
  EXPECT_EQ(reply.at("status"), "ok");
  EXPECT_EQ(reply.at("completed").size(), 3U);
  EXPECT_EQ(reply.at("pending"), Json::array());
}

TEST_F(ClientQueriesTest, TheHistoryIsInOrderOfSubmission) {
  for (const auto* id : {"c", "a", "b"}) {
    hub.submit(id, TaskQueue::task, "");
  }
  EXPECT_EQ(hub.ask("history_request", Json::object(), "history_reply"),
            parsed(R"({"status": "ok", "history": ["c", "a", "b"]})"));
}

TEST_F(ClientQueriesTest, ADbReplyHasAllColumnsButTheBuffers) {
  hub.submit("m", TaskQueue::mux, "e0");
  const Json reply = db("{}");
  EXPECT_EQ(reply.at("status"), "ok");
  EXPECT_TRUE(reply.at("buffer_lens").is_null());
  EXPECT_TRUE(reply.at("result_buffer_lens").is_null());
  ASSERT_EQ(reply.at("records").size(), 1U);
  EXPECT_EQ(reply.at("records")[0].size(), 22U);
  EXPECT_FALSE(reply.at("records")[0].contains("buffers"));
  EXPECT_TRUE(hub.reply_buffers().empty());
  EXPECT_EQ(db("{}", Json::array()).at("records")[0].size(), 22U);
}

TEST_F(ClientQueriesTest, DbBuffersComeByRecordWithTheirCounts) {
  hub.submit("m1", TaskQueue::mux, "e0", {.buffers = {"q1", "q2"}});
  hub.submit("m2", TaskQueue::mux, "e0", {.buffers = {}});
  hub.finish("m1", TaskQueue::mux, "e0");
  const Json both = db("{}", {"buffers", "result_buffers", "queue"});
  EXPECT_EQ(both.at("buffer_lens"), Json({2, 0}));
  EXPECT_EQ(both.at("result_buffer_lens"), Json({1, 0}));
  EXPECT_EQ(both.at("records"),
            parsed(R"([{"msg_id": "m1", "queue": "mux"}, {"msg_id": "m2", "queue": "mux"}])"));
  EXPECT_EQ(hub.reply_buffers(), (Names{"q1", "q2", "result"}));
  const Json results = db("{}", {"result_buffers"});
  EXPECT_TRUE(results.at("buffer_lens").is_null());
  EXPECT_EQ(results.at("records"), parsed(R"([{"msg_id": "m1"}, {"msg_id": "m2"}])"));
  EXPECT_EQ(hub.reply_buffers(), Names{"result"});
}

TEST_F(ClientQueriesTest, ABadQueryIsAnErrorInTheDbReply) {
  expect_error(db(R"({"msg_id": {"$bogus": 1}})"), "KeyError", "'Unsupported operator: $bogus'");
  expect_error(db(R"({"nothing": 1})"), "KeyError", "'Illegal testing key(s): nothing'");
  expect_error(db(R"({"label": {"$mod": [0, 0]}})"), "ValueError", "$mod cannot divide by 0");
  expect_error(db("{}", {"msg_id", "nothing"}), "KeyError", "'nothing'");
}

TEST_F(ClientQueriesTest, PurgeByIdDropsTheRecords) {
  for (const auto* id : {"a", "b"}) {
    hub.submit(id, TaskQueue::mux, "e0");
    hub.finish(id, TaskQueue::mux, "e0");
  }
  EXPECT_EQ(hub.ask("purge_request", {{"msg_ids", {"a", "unknown"}}}, "purge_reply"),
            parsed(R"({"status": "ok"})"));
  EXPECT_EQ(store.history(), Names{"b"});
}

TEST_F(ClientQueriesTest, PurgeByEngineDropsWhatItFinished) {
  hub.submit("a", TaskQueue::mux, "e0");
  hub.finish("a", TaskQueue::mux, "e0");
  hub.submit("b", TaskQueue::mux, "e0");
  hub.submit("c", TaskQueue::mux, "e1");
  hub.finish("c", TaskQueue::mux, "e1");
  hub.ask("purge_request", {{"engine_ids", {0}}}, "purge_reply");
  EXPECT_EQ(store.history(), (Names{"b", "c"}));
}

TEST_F(ClientQueriesTest, PurgeAllKeepsWhatIsPending) {
  hub.submit("a", TaskQueue::mux, "e0");
  hub.finish("a", TaskQueue::mux, "e0");
  hub.submit("b", TaskQueue::task, "");
  hub.ask("purge_request", {{"msg_ids", "all"}}, "purge_reply");
  EXPECT_EQ(store.history(), Names{"b"});
}

TEST_F(ClientQueriesTest, ARefusedPurgeChangesNothing) {
  hub.submit("done", TaskQueue::mux, "e0");
  hub.finish("done", TaskQueue::mux, "e0");
  hub.submit("waiting", TaskQueue::mux, "e0");
  expect_error(hub.ask("purge_request", {{"msg_ids", {"done", "waiting"}}}, "purge_reply"),
               "IndexError", "msg pending: 'waiting'");
  expect_error(
      hub.ask("purge_request", {{"msg_ids", {"done"}}, {"engine_ids", {55}}}, "purge_reply"),
      "IndexError", "No such engine: 55");
  EXPECT_EQ(store.history(), (Names{"done", "waiting"}));
}

TEST_F(ClientQueriesTest, AResubmittedTaskKeepsWhatItsSenderAskedFor) {
  const std::string metadata = R"({"after": ["x"], "targets": ["e1"], "retries": 2, "label": "l"})";
  hub.submit("t", TaskQueue::task, "",
             {.metadata = metadata, .buffers = {"f", std::string(9000, 'b')}});
  hub.finish("t", TaskQueue::task, "e1");
  const auto actions = hub.request("resubmit_request", {{"msg_ids", {"t", "t"}}});
  const auto& task = only<ResubmitTask>(actions);
  EXPECT_EQ(task.new_msg_id, "hubsession_resubmit_0");
  EXPECT_EQ(parsed(only<SendHubReply>(actions).content),
            parsed(R"({"status": "ok", "resubmitted": {"t": "hubsession_resubmit_0"}})"));
  EXPECT_EQ(task.original.identity_count(), 0U);
  EXPECT_EQ(task.original.signature(), "");
  EXPECT_EQ(task.original.metadata(), metadata);
  EXPECT_EQ(parsed(task.original.header()).at("session"), test::client_session);
  ASSERT_EQ(task.original.buffer_count(), 2U);
  EXPECT_EQ(task.original.buffer(1), std::string(9000, 'b'));
  EXPECT_EQ(store.get("t")->resubmitted, "hubsession_resubmit_0");
  EXPECT_EQ(result({"hubsession_resubmit_0"}).at("pending"), Json({"hubsession_resubmit_0"}));
  hub.submit("hubsession_resubmit_0", TaskQueue::task, "");
  hub.finish("hubsession_resubmit_0", TaskQueue::task, "e1");
  EXPECT_EQ(result({"hubsession_resubmit_0"}).at("completed"), Json({"hubsession_resubmit_0"}));
}

TEST_F(ClientQueriesTest, AResubmittedDirectCallGoesToItsOwnEngineWhileThatIsHere) {
  hub.submit("m", TaskQueue::mux, "e1");
  const auto targets = [this] {
    return parsed(only<ResubmitTask>(hub.request("resubmit_request", {{"msg_ids", {"m"}}}))
                      .original.metadata());
  };
  EXPECT_EQ(targets().at("targets"), Json({"e1"}));
  hub.step(HeartStopped{.uuid = "e1"});
  EXPECT_FALSE(targets().contains("targets"));
}

TEST_F(ClientQueriesTest, ResubmissionOfAnUnknownTaskIsAKeyErrorAndSubmitsNone) {
  hub.submit("t", TaskQueue::task, "");
  const auto actions = hub.request("resubmit_request", {{"msg_ids", {"t", "x", "y"}}});
  EXPECT_EQ(only<SendHubReply>(actions).msg_type, "resubmit_reply");
  expect_error(parsed(only<SendHubReply>(actions).content), "KeyError",
               "\"No such msg(s): ['x', 'y']\"");
  EXPECT_EQ(actions.size(), 1U);
}

TEST_F(ClientQueriesTest, UnknownTypesAndBrokenContentsAreHubErrors) {
  expect_error(hub.ask("dance_request", Json::object(), "hub_error"), "KeyError",
               "\"Bad Message Type: 'dance_request'\"");
  EXPECT_EQ(hub.ask("result_request", {{"msg_ids", 5}}, "hub_error").at("ename"), "TypeError");
  EXPECT_EQ(hub.ask("db_request", {{"query", "x"}}, "hub_error").at("ename"), "TypeError");
  EXPECT_EQ(hub.ask("queue_request", {{"targets", {{{"a", 1}}}}}, "hub_error").at("ename"),
            "TypeError");
  EXPECT_EQ(hub.ask("purge_request", {{"engine_ids", {"a"}}}, "hub_error").at("ename"),
            "TypeError");
  EXPECT_EQ(hub.ask("resubmit_request", Json::object(), "hub_error").at("ename"), "TypeError");
  EXPECT_EQ(hub.ask("registration_request", Json::object(), "hub_error").at("ename"), "KeyError");
  EXPECT_EQ(hub.ask("unregistration_request", {{"id", "x"}}, "hub_error").at("ename"), "TypeError");
}

TEST(ClientQueriesWithoutRecords, QueriesOfThePastSayThatNothingIsStored) {
  NoStore store;
  test::TestHub hub{store};
  hub.add_engine("e0");
  hub.submit("done", TaskQueue::mux, "e0");
  hub.finish("done", TaskQueue::mux, "e0");
  hub.submit("waiting", TaskQueue::mux, "e0");
  const auto ename = [&](const char* type, const Json& content, const char* reply) {
    return hub.ask(type, content, reply).value("ename", "");
  };
  EXPECT_EQ(ename("history_request", Json::object(), "history_reply"), "NoData");
  EXPECT_EQ(ename("db_request", {{"query", Json::object()}}, "db_reply"), "NoData");
  EXPECT_EQ(ename("resubmit_request", {{"msg_ids", {"done"}}}, "resubmit_reply"), "NoData");
  EXPECT_EQ(ename("result_request", {{"msg_ids", {"done"}}}, "result_reply"), "NoData");
  EXPECT_EQ(ename("result_request", {{"msg_ids", {"never"}}}, "result_reply"), "KeyError");
  EXPECT_EQ(ename("purge_request", {{"msg_ids", "all"}}, "purge_reply"), "");
  const Json status = hub.ask(
      "result_request", {{"msg_ids", {"done", "waiting"}}, {"status_only", true}}, "result_reply");
  EXPECT_EQ(status, parsed(R"({"status": "ok", "pending": ["waiting"], "completed": ["done"]})"));
}

TEST(ClientQueriesAtTheLimit, ResubmissionIsRefusedWhenTooManyTasksArePending) {
  DictStore store;
  test::TestHub hub{store, {.ledger = {.pending_max = 2}}};
  hub.submit("a", TaskQueue::task, "");
  hub.submit("b", TaskQueue::task, "");
  const auto actions = hub.request("resubmit_request", {{"msg_ids", {"a"}}});
  EXPECT_EQ(parsed(only<SendHubReply>(actions).content).at("ename"), "RuntimeError");
  EXPECT_EQ(actions.size(), 1U);
  EXPECT_TRUE(store.get("a")->resubmitted.empty());
  const auto first = hub.step(
      RequestSeen{.queue = TaskQueue::task, .msg_id = "c", .request = test::apply_request("c")});
  EXPECT_EQ(only<WriteLog>(first).level, LogLevel::warning);
  EXPECT_TRUE(
      hub.step(RequestSeen{
                   .queue = TaskQueue::task, .msg_id = "d", .request = test::apply_request("d")})
          .empty());
}

TEST(KeepResults, AResultThatWentToItsClientIsNotKept) {
  DictStore store;
  test::TestHub hub(store, {.queries = {.session_id = "hub", .keep_results = false}});
  hub.add_engine("e0");
  hub.submit("a", TaskQueue::mux, "e0");
  hub.finish("a", TaskQueue::mux, "e0");
  EXPECT_EQ(store.get("a")->reply->buffer_count(), 0U);
  EXPECT_EQ(store.get("a")->request->buffer_count(), 1U) << "it can be resubmitted";
  EXPECT_EQ(hub.ask("result_request", {{"msg_ids", {"a"}}, {"status_only", true}}, "result_reply")
                .at("completed"),
            Json({"a"}));
  const Json full = hub.ask("result_request", {{"msg_ids", {"a"}}}, "result_reply");
  EXPECT_EQ(full.at("ename"), "KeyError");
  EXPECT_NE(full.at("evalue").get<std::string>().find("keep_results"), std::string::npos);

  const Json again = hub.ask("resubmit_request", {{"msg_ids", {"a"}}}, "resubmit_reply");
  const auto new_id = again.at("resubmitted").at("a").get<std::string>();
  hub.submit(new_id, TaskQueue::task, "");
  hub.finish(new_id, TaskQueue::task, "e0");
  EXPECT_TRUE(hub.ask("result_request", {{"msg_ids", {new_id}}}, "result_reply").contains(new_id))
      << "who resubmits asks the hub for the result";
}

// ---- a store that answers later -----------------------------------------------------------------

/// Keeps every question until the test answers it.
class LateStore final : public Store {
 public:
  [[nodiscard]] const char* name() const override { return "LateDB"; }
  [[nodiscard]] bool keeps_records() const override { return true; }
  void apply(const std::string& msg_id, RecordChange change) override {
    memory.apply(msg_id, std::move(change));
  }
  [[nodiscard]] std::optional<StoreAnswer> ask(std::uint64_t token, StoreRequest request) override {
    questions.emplace_back(token, std::move(request));
    return std::nullopt;
  }
  StoreAnswered answer(std::size_t which) {
    return {.token = questions.at(which).first,
            .answer = std::make_shared<StoreAnswer>(
                *memory.ask(0, std::move(questions.at(which).second)))};
  }

  DictStore memory;
  std::vector<std::pair<std::uint64_t, StoreRequest>> questions;
};

class LateAnswers : public testing::Test {
 protected:
  void SetUp() override {
    hub.add_engine("e0");
    hub.submit("a", TaskQueue::mux, "e0");
    hub.finish("a", TaskQueue::mux, "e0");
  }
  static Json content(const HubActions& actions) {
    return parsed(only<SendHubReply>(actions).content);
  }

  LateStore store;
  test::TestHub hub{
      store,
      {.queries = {.session_id = "hub", .questions_max = 3, .answer_timeout = test::ms(1000)}}};
};

TEST_F(LateAnswers, AReplyIsMadeWhenTheAnswerComesInAnyOrder) {
  EXPECT_TRUE(hub.request("history_request", Json::object(), "first").empty());
  EXPECT_TRUE(hub.request("db_request", {{"query", Json::object()}}, "second").empty());
  EXPECT_TRUE(hub.request("resubmit_request", {{"msg_ids", {"a"}}}, "third").empty());
  EXPECT_EQ(hub.machine().ledger().pending_count(), 0U);
  const auto resubmitted = hub.step(store.answer(2));
  EXPECT_EQ(only<SendHubReply>(resubmitted).request.identity(0), "third");
  EXPECT_EQ(only<SendHubReply>(resubmitted).msg_type, "resubmit_reply");
  EXPECT_EQ(only<ResubmitTask>(resubmitted).new_msg_id, "hub_resubmit_0");
  EXPECT_EQ(hub.machine().ledger().pending_count(), 1U);
  EXPECT_EQ(content(hub.step(store.answer(0))).at("history"), Json({"a"}));
  EXPECT_EQ(content(hub.step(store.answer(1))).at("records").at(0).at("resubmitted"),
            "hub_resubmit_0");
}

TEST_F(LateAnswers, AFailureOfTheStoreIsAnErrorReply) {
  hub.request("db_request", {{"query", Json::object()}});
  const auto token = store.questions.at(0).first;
  StoreAnswer failed;
  failed.failure = Error{ErrorCode::io, "the disk is gone"};
  const auto actions = hub.step(
      StoreAnswered{.token = token, .answer = std::make_shared<StoreAnswer>(std::move(failed))});
  EXPECT_EQ(only<SendHubReply>(actions).msg_type, "db_reply");
  EXPECT_EQ(content(actions).at("ename"), "RuntimeError");
  EXPECT_EQ(content(actions).at("evalue"), "the disk is gone");
}

TEST_F(LateAnswers, ASilentStoreIsAnErrorReplyInTheEndAndItsLateAnswerIsNothing) {
  hub.request("history_request", Json::object());
  EXPECT_TRUE(hub.wait(999).empty());
  const auto actions = hub.wait(2);
  EXPECT_EQ(content(actions).at("ename"), "RuntimeError");
  EXPECT_NE(content(actions).at("evalue").get<std::string>().find("LateDB"), std::string::npos);
  EXPECT_TRUE(hub.step(store.answer(0)).empty());
}

TEST_F(LateAnswers, AQuestionTooManyIsRefused) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(hub.request("history_request", Json::object()).empty());
  }
  EXPECT_EQ(content(hub.request("history_request", Json::object())).at("ename"), "RuntimeError");
  EXPECT_EQ(store.questions.size(), 3U);
  hub.step(store.answer(1));
  EXPECT_TRUE(hub.request("history_request", Json::object()).empty()) << "there is room again";
}

TEST_F(LateAnswers, APollForPendingTasksAsksNoStore) {
  hub.submit("b", TaskQueue::mux, "e0");
  EXPECT_EQ(
      hub.ask("result_request", {{"msg_ids", {"a", "b"}}, {"status_only", true}}, "result_reply"),
      parsed(R"({"status": "ok", "pending": ["b"], "completed": ["a"]})"));
  EXPECT_TRUE(store.questions.empty());
}

}  // namespace
}  // namespace ipf
