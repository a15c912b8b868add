#include "hub/hub_machine.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "hub/record_columns.hpp"
#include "hub/store_dict.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::all;
using test::only;
using test::parsed;

class HubMachineTest : public testing::Test {
 protected:
  HubActions register_engine(const std::string& uuid, Json content = Json::object()) {
    content["uuid"] = uuid;
    return hub.request("registration_request", content, uuid);
  }
  static std::vector<std::string> logged(const HubActions& actions) {
    std::vector<std::string> out;
    for (const auto& line : all<WriteLog>(actions)) {
      out.push_back(line.text);
    }
    return out;
  }
  /// Nothing that anybody outside could notice.
  static void expect_quiet(const HubActions& actions) {
    for (const auto& action : actions) {
      EXPECT_TRUE(std::holds_alternative<WriteLog>(action)) << "action " << action.index();
    }
  }
  Json error_of(const std::string& msg_id) {
    const auto record = store.get(msg_id);
    return record ? RecordReader(*record).column(Column::result_content) : Json();
  }

  DictStore store;
  test::TestHub hub{store,
                    {.engines = {.registration_timeout = test::ms(30'000), .pending_max = 3},
                     .queries = {.session_id = "hubsession"}}};
  using Lines = std::vector<std::string>;
};

TEST_F(HubMachineTest, ARegistrationIsCompleteAtTheFirstPong) {
  auto actions = register_engine("uuid-a");
  const auto& reply = only<SendHubReply>(actions);
  EXPECT_EQ(reply.msg_type, "registration_reply");
  EXPECT_FALSE(reply.with_parent);
  EXPECT_EQ(parsed(reply.content),
            parsed(R"({"id": 0, "status": "ok", "hb_period": 3000, "ipyfleet": {}})"));
  EXPECT_EQ(only<ExpectHeart>(actions).uuid, "uuid-a");
  EXPECT_TRUE(std::holds_alternative<ExpectHeart>(actions[0]))
      << "before the engine can start its heart";
  EXPECT_EQ(logged(actions), Lines{"registration::accepting registration 0:uuid-a"});
  EXPECT_TRUE(all<AnnounceEngine>(actions).empty());
  EXPECT_TRUE(all<PublishNotification>(actions).empty());

  hub.pass(12);
  actions = hub.step(HeartStarted{.uuid = "uuid-a"});
  EXPECT_EQ(only<AnnounceEngine>(actions).id, EngineId{0});
  EXPECT_EQ(only<AnnounceEngine>(actions).uuid, "uuid-a");
  const auto& notification = only<PublishNotification>(actions);
  EXPECT_EQ(notification.msg_type, "registration_notification");
  EXPECT_EQ(parsed(notification.content), parsed(R"({"id": 0, "uuid": "uuid-a"})"));
  EXPECT_FALSE(notification.parent);
  EXPECT_EQ(logged(actions), Lines{"registration::finished registering engine 0:uuid-a in 12ms"});
  EXPECT_EQ(parsed(only<SaveEngineState>(actions).json_text),
            parsed(R"({"engines": {"0": "uuid-a"}, "next_id": 1})"));
}

TEST_F(HubMachineTest, ThePeriodOfTheHeartbeatIsToldInMilliseconds) {
  test::TestHub other{store, {.heartbeat_period = test::ms(300)}};
  const auto actions = other.request("registration_request", {{"uuid", "a"}}, "a");
  EXPECT_EQ(parsed(only<SendHubReply>(actions).content).at("hb_period"), 300);
}

TEST_F(HubMachineTest, ASecondBeatAndAForeignHeartAreNothing) {
  hub.add_engine("a");
  EXPECT_TRUE(hub.step(HeartStarted{.uuid = "a"}).empty());
  EXPECT_TRUE(hub.step(HeartStarted{.uuid = "stranger"}).empty());
  EXPECT_TRUE(hub.step(HeartStopped{.uuid = "stranger"}).empty());
}

TEST_F(HubMachineTest, AUuidInUseIsRefusedWithAKeyError) {
  hub.add_engine("a");
  register_engine("b");
  for (const auto* uuid : {"a", "b"}) {
    const auto actions = hub.request("registration_request", {{"uuid", uuid}}, "another socket");
    const auto& reply = only<SendHubReply>(actions);
    EXPECT_EQ(reply.msg_type, "registration_reply");
    EXPECT_FALSE(reply.with_parent);
    const Json content = parsed(reply.content);
    EXPECT_EQ(content.at("status"), "error");
    EXPECT_EQ(content.at("ename"), "KeyError");
    EXPECT_EQ(content.at("evalue"), "\"uuid '" + std::string(uuid) + "' in use\"");
    EXPECT_TRUE(all<ExpectHeart>(actions).empty());
  }
  EXPECT_EQ(hub.add_engine("c"), EngineId{2});
}

TEST_F(HubMachineTest, ALivingEngineIsNotReplacedEvenFromASocketOfItsName) {
  hub.add_engine("a");
  EXPECT_EQ(parsed(only<SendHubReply>(register_engine("a")).content).at("ename"), "KeyError");
}

TEST_F(HubMachineTest, AnEngineWhoseReplyWasLostIsToldItsNumberAgain) {
  hub.add_engine("a");
  register_engine("b");
  const auto again = register_engine("b");
  EXPECT_EQ(parsed(only<SendHubReply>(again).content).at("id"), 1);
  EXPECT_EQ(logged(again), Lines{"registration::told engine 1:b its number again"});
  EXPECT_EQ(all<AnnounceEngine>(hub.step(HeartStarted{.uuid = "b"})).size(), 1U);
  EXPECT_EQ(hub.add_engine("c"), EngineId{2});
}

TEST_F(HubMachineTest, ARestoredEngineMayAskForItsNumberAgain) {
  HubActions actions;
  ASSERT_TRUE(hub.machine().restore(hub.now(), R"({"engines": {"4": "a", "5": "b"}, "next_id": 6})",
                                    actions));
  hub.step(HeartStarted{.uuid = "b"});  // its heart may be faster than its question
  EXPECT_EQ(parsed(only<SendHubReply>(register_engine("a")).content).at("id"), 4);
  EXPECT_EQ(parsed(only<SendHubReply>(register_engine("b")).content).at("id"), 5);
  const auto other = hub.request("registration_request", {{"uuid", "a"}}, "another socket");
  EXPECT_EQ(parsed(only<SendHubReply>(other).content).at("ename"), "KeyError");
  EXPECT_EQ(only<TrustEngine>(hub.step(HeartStarted{.uuid = "a"})).uuid, "a");
  hub.step(HeartStopped{.uuid = "a"});
  EXPECT_EQ(hub.machine().engines().lost_id("a"), EngineId{4});
  EXPECT_EQ(only<ExpectHeart>(register_engine("a")).uuid, "a") << "a new registration";
}

TEST(HubMachineNewKeyTest, ARestoredEngineHasToRegisterAgain) {
  DictStore store;
  test::TestHub hub{store,
                    {.new_key = true, .engines = {.registration_timeout = test::ms(30'000)}}};
  HubActions actions;
  ASSERT_TRUE(hub.machine().restore(
      hub.now(), R"({"engines": {"4": "a", "5": "b", "6": "c"}, "next_id": 7})", actions));
  EXPECT_TRUE(all<TrustEngine>(hub.step(HeartStarted{.uuid = "a"})).empty())
      << "anybody's heart beats";
  EXPECT_TRUE(all<TrustEngine>(hub.step(HeartTrusted{.uuid = "a"})).empty());
  const auto registered = [&](const char* uuid) {
    return all<TrustEngine>(hub.request("registration_request", {{"uuid", uuid}}, uuid));
  };
  EXPECT_EQ(registered("a").size(), 1U);
  EXPECT_TRUE(registered("b").empty()) << "its heart is not there";
  EXPECT_EQ(only<TrustEngine>(hub.step(HeartStarted{.uuid = "b"})).uuid, "b");
  hub.step(HeartStarted{.uuid = "c"});
  EXPECT_EQ(only<RetireEngine>(hub.wait(31'000)).uuid, "c");
}

TEST_F(HubMachineTest, PendingRegistrationsAreLimited) {
  for (const auto* uuid : {"a", "b", "c"}) {
    register_engine(uuid);
  }
  const Json content = parsed(only<SendHubReply>(register_engine("d")).content);
  EXPECT_EQ(content.at("status"), "error");
  EXPECT_EQ(content.at("ename"), "RuntimeError");
}

TEST_F(HubMachineTest, AWantedNumberThatIsTakenIsReplacedWithAWarning) {
  register_engine("a", {{"id", 5}});
  const auto actions = register_engine("b", {{"id", 5}});
  EXPECT_EQ(parsed(only<SendHubReply>(actions).content).at("id"), 6);
  EXPECT_EQ(logged(actions).size(), 2U);
}

TEST_F(HubMachineTest, ARegistrationWithoutAHeartIsDroppedAfterTheTimeout) {
  register_engine("a");
  EXPECT_EQ(hub.machine().next_deadline(), hub.now() + test::ms(30'000));
  EXPECT_TRUE(hub.wait(29'999).empty());
  const auto actions = hub.wait(1);
  EXPECT_EQ(only<ForgetHeart>(actions).uuid, "a");
  EXPECT_TRUE(all<PublishNotification>(actions).empty());
  EXPECT_TRUE(hub.step(HeartStarted{.uuid = "a"}).empty());
  EXPECT_EQ(hub.add_engine("a"), EngineId{1});
}

TEST_F(HubMachineTest, UnregistrationOfAPendingEngineCancelsIt) {
  register_engine("a");
  EXPECT_EQ(only<ForgetHeart>(hub.request("unregistration_request", {{"id", 0}}, "nanny")).uuid,
            "a");
  expect_quiet(hub.step(HeartStarted{.uuid = "a"}));
  register_engine("b");
  expect_quiet(hub.request("unregistration_request", {{"id", nullptr}}, "somebody else"));
  EXPECT_EQ(only<ForgetHeart>(hub.request("unregistration_request", {{"id", nullptr}}, "b")).uuid,
            "b");
}

TEST_F(HubMachineTest, UnregistrationIsToldOnceAndASecondOneIsNothing) {
  hub.add_engine("a");
  hub.wait(200);
  const auto actions = hub.request("unregistration_request", {{"id", 0}}, "nanny");
  EXPECT_EQ(only<RetireEngine>(actions).uuid, "a");
  EXPECT_FALSE(only<RetireEngine>(actions).silent);
  EXPECT_EQ(only<ForgetHeart>(actions).uuid, "a");
  const auto& notification = only<PublishNotification>(actions);
  EXPECT_EQ(notification.msg_type, "unregistration_notification");
  EXPECT_EQ(parsed(notification.content), parsed(R"({"id": 0, "uuid": "a"})"));
  EXPECT_EQ(parsed(only<SaveEngineState>(actions).json_text),
            parsed(R"({"engines": {}, "next_id": 1})"));
  EXPECT_TRUE(all<SendHubReply>(actions).empty());
  expect_quiet(hub.request("unregistration_request", {{"id", 0}}, "nanny"));
  expect_quiet(hub.request("unregistration_request", {{"id", 99}}, "nanny"));
  expect_quiet(hub.step(HeartStopped{.uuid = "a"}));
}

TEST_F(HubMachineTest, AShutdownReplyOnIopubUnregistersItsSenderOnly) {
  hub.add_engine("a");
  const auto shutdown_of = [](const std::string& session) {
    return OutputSeen{.msg_type = "shutdown_reply",
                      .parent_msg_id = "x",
                      .sender_session = session,
                      .output = test::output("{}")};
  };
  EXPECT_TRUE(hub.step(shutdown_of("stranger")).empty());
  EXPECT_EQ(only<RetireEngine>(hub.step(shutdown_of("a"))).id, EngineId{0});
  EXPECT_TRUE(hub.step(shutdown_of("a")).empty());
}

TEST_F(HubMachineTest, AStoppedHeartUnregistersWithoutForgettingItAgain) {
  hub.add_engine("a");
  const auto actions = hub.step(HeartStopped{.uuid = "a"});
  EXPECT_EQ(only<RetireEngine>(actions).id, EngineId{0});
  EXPECT_TRUE(only<RetireEngine>(actions).silent);
  EXPECT_TRUE(all<ForgetHeart>(actions).empty());
  EXPECT_EQ(only<WriteLog>(actions).level, LogLevel::warning);
}

TEST_F(HubMachineTest, ALostEngineThatRegistersAgainKeepsItsNumber) {
  hub.add_engine("a");
  hub.add_engine("b");
  hub.step(HeartStopped{.uuid = "a"});
  EXPECT_EQ(hub.add_engine("c"), EngineId{2});
  EXPECT_EQ(hub.add_engine("a"), EngineId{0});
}

TEST_F(HubMachineTest, AFrozenEngineThatAnswersAgainIsBackUnderItsNumber) {
  hub.add_engine("a");
  hub.add_engine("b");
  hub.step(HeartStopped{.uuid = "a"});
  const auto actions = hub.step(HeartReturned{.uuid = "a"});
  EXPECT_EQ(only<AnnounceEngine>(actions).id, EngineId{0});
  EXPECT_EQ(only<PublishNotification>(actions).msg_type, "registration_notification");
  EXPECT_TRUE(hub.machine().engines().find(std::string_view("a")));
}

TEST_F(HubMachineTest, AStrangerThatAnswersIsForgotten) {
  const auto actions = hub.step(HeartReturned{.uuid = "stranger"});
  EXPECT_EQ(only<ForgetHeart>(actions).uuid, "stranger");
  EXPECT_TRUE(all<AnnounceEngine>(actions).empty());
}

TEST_F(HubMachineTest, OnlyAnEngineThatIsThereCanBeSuspected) {
  hub.add_engine("a");
  EXPECT_EQ(only<SuspectEngine>(hub.step(HeartSuspected{.uuid = "a"})).uuid, "a");
  EXPECT_EQ(only<TrustEngine>(hub.step(HeartTrusted{.uuid = "a"})).uuid, "a");
  EXPECT_TRUE(hub.step(HeartSuspected{.uuid = "stranger"}).empty());
}

TEST_F(HubMachineTest, DirectMessagesOfALostEngineAreAnsweredInTheRecordsAfterTheGrace) {
  hub.add_engine("a");
  hub.submit("m1", TaskQueue::mux, "a");
  hub.submit("m2", TaskQueue::mux, "a");
  hub.step(HeartStopped{.uuid = "a"});
  hub.finish("m2", TaskQueue::mux, "a");
  EXPECT_TRUE(error_of("m1").is_null());
  const auto actions = hub.wait(100);
  EXPECT_EQ(actions.size(), all<SaveEngineState>(actions).size()) << "no message to anybody";
  EXPECT_EQ(error_of("m1").at("ename"), "EngineError");
  EXPECT_EQ(error_of("m1").at("evalue"), "Engine 0 died while running task 'm1'");
  EXPECT_EQ(error_of("m1").at("engine_info"), Json::object());
  EXPECT_EQ(error_of("m2").at("status"), "ok");
  const auto record = *store.get("m1");
  RecordReader reader(record);
  EXPECT_EQ(reader.column(Column::engine_uuid), "a");
  EXPECT_EQ(reader.column(Column::result_metadata).at("engine"), "a");
  EXPECT_EQ(reader.column(Column::completed), to_iso(test::wall_ms(100)));
  EXPECT_EQ(record.reply->signature(), "");
}

TEST_F(HubMachineTest, ARealReplyAfterTheGraceStillReplacesTheError) {
  hub.add_engine("a");
  hub.submit("m1", TaskQueue::mux, "a");
  hub.step(HeartStopped{.uuid = "a"});
  hub.wait(100);
  hub.finish("m1", TaskQueue::mux, "a");
  EXPECT_EQ(error_of("m1").at("status"), "ok");
}

TEST_F(HubMachineTest, ADirectMessageForNobodyGetsAnErrorInItsRecord) {
  hub.submit("m1", TaskQueue::mux, "nobody");
  hub.wait(100);
  EXPECT_EQ(error_of("m1").at("ename"), "EngineError");
}

TEST_F(HubMachineTest, TasksOfALostEngineAreLeftToTheScheduler) {
  hub.add_engine("a");
  hub.submit("t1", TaskQueue::task, "");
  hub.step(TaskAssigned{.msg_id = "t1", .engine_uuid = "a"});
  hub.step(HeartStopped{.uuid = "a"});
  hub.wait(60'000);
  EXPECT_TRUE(error_of("t1").is_null());
  EXPECT_TRUE(hub.machine().ledger().is_pending("t1"));
}

TEST_F(HubMachineTest, RegistrationsThatALateSubscriberMissedAreRepeated) {
  hub.add_engine("before");
  hub.wait(200);
  hub.request("connection_request", Json::object());
  hub.pass(3);
  hub.add_engine("between");
  const auto soon = hub.wait(97);
  EXPECT_EQ(parsed(only<PublishNotification>(soon).content),
            parsed(R"({"id": 1, "uuid": "between"})"));
  EXPECT_EQ(only<PublishNotification>(soon).msg_type, "registration_notification");
  EXPECT_EQ(all<PublishNotification>(hub.wait(900)).size(), 1U);
  EXPECT_TRUE(hub.wait(10'000).empty());
}

TEST_F(HubMachineTest, AnEngineThatWentBeforeALateSubscriberListenedIsGoneForIt) {
  hub.add_engine("short");
  hub.wait(200);
  hub.request("connection_request", Json::object());
  hub.step(HeartStopped{.uuid = "short"});
  const auto soon = hub.wait(100);
  EXPECT_EQ(only<PublishNotification>(soon).msg_type, "unregistration_notification");
  EXPECT_EQ(parsed(only<PublishNotification>(soon).content),
            parsed(R"({"id": 0, "uuid": "short"})"));
}

TEST_F(HubMachineTest, ManyRegistrationsSaveTheirStateAFewTimes) {
  std::vector<std::string> saved;
  const auto collect = [&saved](const HubActions& actions) {
    for (const auto& state : all<SaveEngineState>(actions)) {
      saved.push_back(state.json_text);
    }
  };
  for (int i = 0; i < 200; ++i) {
    const std::string uuid = std::to_string(i);
    hub.request("registration_request", {{"uuid", uuid}}, uuid);
    collect(hub.step(HeartStarted{.uuid = uuid}));
    collect(hub.wait(5));
  }
  collect(hub.wait(100));
  EXPECT_GE(saved.size(), 64U) << "a few engines are in the file at once";
  EXPECT_LE(saved.size(), 74U) << "many are written together";
  EXPECT_EQ(parsed(saved.back()).at("engines").size(), 200U);
}

TEST_F(HubMachineTest, OutputsGoToTheRecordOfTheirParent) {
  const auto print = [this](const char* type, const char* parent, const char* content) {
    return hub.step(OutputSeen{.msg_type = type,
                               .parent_msg_id = parent,
                               .sender_session = "a",
                               .output = test::output(content)});
  };
  EXPECT_TRUE(print("stream", "m", R"({"name": "stdout", "text": "hi"})").empty());
  print("execute_input", "m", R"({"code": "1"})");
  print("stream", "", R"({"name": "stdout", "text": "nobody's"})");
  print("data_message", "other", R"({"keys": []})");
  print("comm_open", "other", "{}");
  EXPECT_EQ(store.get("m")->stdout_text.text, "hi");
  EXPECT_EQ(store.record_count(), 1U);
}

TEST_F(HubMachineTest, ResourcesOfAnEngineAreAnnouncedAndSurviveARestart) {
  hub.request("registration_request", {{"uuid", "a"}, {"ipyfleet", {{"resources", {{"gpu", 2}}}}}},
              "a");
  const auto actions = hub.step(HeartStarted{.uuid = "a"});
  EXPECT_EQ(only<AnnounceEngine>(actions).resources, (ResourceMap{{"gpu", 2.0}}));
  const std::string state = only<SaveEngineState>(actions).json_text;
  hub.step(HeartStopped{.uuid = "a"});
  HubActions restored;
  DictStore other_store;
  test::TestHub other(other_store);
  ASSERT_TRUE(other.machine().restore(other.now(), state, restored));
  EXPECT_EQ(only<AnnounceEngine>(restored).resources, (ResourceMap{{"gpu", 2.0}}));
}

TEST_F(HubMachineTest, AnExplanationIsAskedOfTheTaskSchedulerAndAnsweredOnce) {
  const auto asked = hub.request("explain_request", {{"msg_ids", {"t"}}}, "client");
  EXPECT_EQ(only<ExplainTasks>(asked).msg_ids, Lines{"t"});
  TasksExplained answer{.token = only<ExplainTasks>(asked).token, .explanations = {}};
  answer.explanations.push_back({.msg_id = "t", .state = "waiting", .reason = "why"});
  const auto told = hub.step(answer);
  EXPECT_EQ(only<SendHubReply>(told).msg_type, "explain_reply");
  EXPECT_EQ(parsed(only<SendHubReply>(told).content).at("explanations"),
            parsed(R"({"t": {"state": "waiting", "reason": "why"}})"));
  hub.request("explain_request", {{"msg_ids", {"t"}}}, "client");
  EXPECT_EQ(parsed(only<SendHubReply>(hub.wait(2000)).content).at("ename"), "TimeoutError");
}

TEST_F(HubMachineTest, RestoredEnginesAreActiveAtOnceAndToldToSchedulersOnly) {
  HubActions actions;
  const auto done = hub.machine().restore(
      hub.now(), R"({"engines": {"0": "a", "3": "b", "x": "c", "4": 5, "5": "a"}, "next_id": 9})",
      actions);
  ASSERT_TRUE(done);
  hub.machine().check_invariants();
  EXPECT_EQ(all<AnnounceEngine>(actions).size(), 2U);
  EXPECT_EQ(all<ExpectHeart>(actions).size(), 2U);
  EXPECT_TRUE(all<PublishNotification>(actions).empty());
  EXPECT_EQ(hub.ask("connection_request", Json::object(), "connection_reply").at("engines"),
            parsed(R"({"0": "a", "3": "b"})"));
  EXPECT_EQ(hub.add_engine("new"), EngineId{9});
}

TEST_F(HubMachineTest, ARestoredEngineWithoutAHeartIsLostAfterTheTimeout) {
  HubActions actions;
  ASSERT_TRUE(hub.machine().restore(
      hub.now(), R"({"engines": {"0": "dead", "1": "alive"}, "next_id": 2})", actions));
  EXPECT_EQ(all<SuspectEngine>(actions).size(), 2U);
  const auto beats = hub.step(HeartStarted{.uuid = "alive"});
  ASSERT_EQ(beats.size(), 1U) << "clients know it already";
  EXPECT_EQ(only<TrustEngine>(beats).uuid, "alive");
  const auto late = hub.wait(30'000);
  EXPECT_EQ(only<RetireEngine>(late).uuid, "dead");
  EXPECT_EQ(only<ForgetHeart>(late).uuid, "dead");
  EXPECT_TRUE(hub.machine().engines().find("alive"));
}

TEST_F(HubMachineTest, AStateThatCannotBeReadIsAnErrorAndChangesNothing) {
  HubActions actions;
  for (const auto* text :
       {"", "[]", "{}", R"({"engines": []})", R"({"engines": null})", "{broken"}) {
    EXPECT_FALSE(hub.machine().restore(hub.now(), text, actions)) << text;
  }
  EXPECT_TRUE(actions.empty());
  EXPECT_TRUE(hub.machine().engines().active().empty());
}

TEST_F(HubMachineTest, AStatusRequestIsForTheReactorWhichKnowsTheRest) {
  hub.add_engine("a");
  register_engine("b");
  const auto actions = hub.request("status_request", Json::object(), "client");
  EXPECT_EQ(only<ReportStatus>(actions).request.identity(0), "client");
  EXPECT_EQ(actions.size(), 1U);
  const HubFigures figures = hub.machine().figures();
  EXPECT_EQ(figures.engines, 1U);
  EXPECT_EQ(figures.registering, 1U);
  EXPECT_EQ(figures.pending, 0U);
}

TEST_F(HubMachineTest, ShutdownIsAnsweredPublishedAndThenDone) {
  hub.add_engine("a");
  const auto actions = hub.request("shutdown_request", Json::object());
  EXPECT_EQ(only<SendHubReply>(actions).msg_type, "shutdown_reply");
  EXPECT_EQ(parsed(only<SendHubReply>(actions).content), parsed(R"({"status": "ok"})"));
  const auto& notification = only<PublishNotification>(actions);
  EXPECT_EQ(notification.msg_type, "shutdown_notification");
  EXPECT_EQ(parsed(notification.content), parsed(R"({"status": "ok"})"));
  ASSERT_TRUE(notification.parent);
  EXPECT_EQ(parsed(notification.parent->header()).at("msg_type"), "shutdown_request");
  EXPECT_EQ(all<SaveEngineState>(actions).size(), 1U);
  EXPECT_TRUE(std::holds_alternative<StopController>(actions.back()));
}

}  // namespace
}  // namespace ipf
