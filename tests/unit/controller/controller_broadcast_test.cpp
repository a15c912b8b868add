// Broadcast calls through a whole controller in this process, with engines of bare sockets.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "controller/coalesced_leg.hpp"
#include "unit/controller/controller_testing.hpp"

namespace ipf {
namespace {

using test::eventually;
using test::FakeEngine;
using test::json_of;
using test::Peer;
using test::TestController;

std::string parent_id(const Message& reply) {
  return json_of(reply.parent()).value("msg_id", "");
}

std::string metadata_for(bool coalescing, const Json& targets) {
  return dump_json({{"targets", targets}, {"is_broadcast", true}, {"is_coalescing", coalescing}});
}

/// Two engines, `engine-a` (0) and `engine-b` (1), and a client.
class ControllerBroadcast : public testing::Test {
 protected:
  void SetUp() override {
    a_.join();
    b_.join();
    ASSERT_TRUE(eventually([&] {
      return controller_.ask_hub(query_, "connection_request").at("engines").size() == 2;
    }));
  }
  std::string call(bool coalescing, const Json& targets) {
    const std::string metadata = metadata_for(coalescing, targets);
    return client_.send({.type = "apply_request", .metadata = metadata});
  }
  std::string call_both(bool coalescing) { return call(coalescing, both_); }
  /// Answers the engine's next request, and gives it back.
  static Message serve(FakeEngine& engine, std::string_view status = "ok") {
    Message leg = engine.receive();
    const Json metadata = json_of(leg.metadata());
    engine.reply(leg, "of " + engine.uuid(),
                 {{"status", status},
                  {"original_msg_id", metadata.value("original_msg_id", "")},
                  {"is_broadcast", true},
                  {"is_coalescing", metadata.value("is_coalescing", false)}});
    return leg;
  }
  bool finished(const std::string& msg_id) {
    return eventually([&] {
      const Json found = record(msg_id);
      return found.is_object() && !found.at("completed").is_null();
    });
  }
  Json record(const std::string& msg_id) {
    const Json query{{"query", {{"msg_id", msg_id}}}, {"keys", nullptr}};
    const Json reply = controller_.ask_hub(query_, "db_request", dump_json(query));
    return reply.at("records").empty() ? Json() : reply.at("records").at(0);
  }

  const Json both_ = Json::array({Json::array({"engine-b", 1}), Json::array({"engine-a", 0})});
  TestController controller_;
  FakeEngine a_{controller_.context(), controller_.engine_info(), "engine-a"};
  FakeEngine b_{controller_.context(), controller_.engine_info(), "engine-b"};
  Peer query_{controller_.client(controller_.client_info().registration)};
  Peer client_{controller_.client(controller_.client_info().broadcast.at(0))};
};

TEST_F(ControllerBroadcast, EachEngineGetsItsOwnMsgIdAndRepliesComeBack) {
  const std::string id = call_both(false);
  for (FakeEngine* engine : {&a_, &b_}) {
    const Message leg = serve(*engine);
    EXPECT_EQ(json_of(leg.header()).at("msg_id"), id + "_" + engine->uuid());
    EXPECT_EQ(json_of(leg.metadata()).at("original_msg_id"), id);
    EXPECT_EQ(json_of(leg.metadata()).at("targets").size(), 1U);
  }
  std::vector<std::string> parents{parent_id(client_.receive()), parent_id(client_.receive())};
  std::ranges::sort(parents);
  EXPECT_EQ(parents, (std::vector{id + "_engine-a", id + "_engine-b"}));
}

TEST_F(ControllerBroadcast, CoalescedResultsComeInTheOrderOfTheTargets) {
  const std::string id = call_both(true);
  serve(a_);
  serve(b_);
  const Message reply = client_.receive();
  EXPECT_EQ(parent_id(reply), id);
  EXPECT_EQ(json_of(reply.metadata()).at("broadcast_targets"), both_);
  ASSERT_EQ(reply.buffer_count(), 2U);
  EXPECT_EQ(reply.buffer(0), "of engine-b");
  EXPECT_EQ(reply.buffer(1), "of engine-a");
}

TEST_F(ControllerBroadcast, EachLegHasARecordAndACoalescingCallHasOne) {
  const std::string plain = call_both(false);
  serve(a_);
  serve(b_);
  client_.receive();
  client_.receive();
  for (const std::string uuid : {"engine-a", "engine-b"}) {
    ASSERT_TRUE(finished(plain + "_" + uuid));
    const Json leg = record(plain + "_" + uuid);
    EXPECT_EQ(leg.at("queue"), "broadcast");
    EXPECT_EQ(leg.at("engine_uuid"), uuid);
    EXPECT_EQ(leg.at("header").at("msg_id"), plain + "_" + uuid);
    EXPECT_EQ(leg.at("result_content").at("status"), "ok");
  }
  EXPECT_TRUE(record(plain).is_null());

  const std::string coalescing = call_both(true);
  serve(a_);
  EXPECT_TRUE(record(coalescing).at("completed").is_null());
  serve(b_);
  client_.receive();
  ASSERT_TRUE(finished(coalescing));
  const Json call = record(coalescing);
  EXPECT_EQ(call.at("queue"), "broadcast");
  EXPECT_EQ(call.at("header").at("msg_id"), coalescing);
  EXPECT_EQ(call.at("result_metadata").at("broadcast_targets"), both_);
  const Json queue =
      controller_.ask_hub(query_, "queue_request", R"({"targets": null, "verbose": false})");
  EXPECT_EQ(queue.at("0").at("queue"), 0);
  EXPECT_EQ(queue.at("unassigned"), 0);
}

TEST_F(ControllerBroadcast, OneFailingEngineIsNamedInTheCoalescedError) {
  call_both(true);
  serve(b_, "error");
  serve(a_);
  const Message reply = client_.receive();
  EXPECT_EQ(json_of(reply.metadata()).at("engine"), "engine-b");
  EXPECT_EQ(json_of(reply.metadata()).at("status"), "error");
  EXPECT_EQ(reply.buffer_count(), 0U);
}

TEST_F(ControllerBroadcast, AnUnknownEngineFailsItsLegOnly) {
  const std::string id =
      call(false, Json::array({Json::array({"nobody", 9}), Json::array({"engine-a", 0})}));
  const Message failed = client_.receive();
  EXPECT_EQ(parent_id(failed), id + "_nobody");
  EXPECT_EQ(json_of(failed.content()).at("ename"), "EngineError");
  serve(a_);
  EXPECT_EQ(parent_id(client_.receive()), id + "_engine-a");
  ASSERT_TRUE(finished(id + "_nobody"));
  EXPECT_EQ(record(id + "_nobody").at("result_content").at("status"), "error");
}

TEST_F(ControllerBroadcast, AnEngineThatLeavesEndsItsPart) {
  const std::string plain = call_both(false);
  const std::string coalescing = call_both(true);
  b_.receive();
  b_.receive();
  b_.leave(1);
  serve(a_);
  EXPECT_EQ(parent_id(client_.receive()), plain + "_engine-a");
  serve(a_);
  // The client ends the others itself when it hears the notification; the records say it, too.
  EXPECT_TRUE(client_.silent());
  for (const auto& id : {plain + "_engine-b", coalescing}) {
    EXPECT_TRUE(eventually([&] {
      const Json found = record(id);
      return found.is_object() && found.at("result_content").is_object() &&
             found.at("result_content").value("ename", "") == "EngineError";
    })) << id;
  }
}

TEST_F(ControllerBroadcast, AnEngineCannotAnswerForAnother) {
  const std::string id = call_both(false);
  const Message of_a = a_.receive();
  const Message of_b = b_.receive();
  a_.reply(of_b, "forged");  // b's leg, over a's socket
  b_.reply(of_b, "genuine");
  const Message reply = client_.receive();
  EXPECT_EQ(parent_id(reply), id + "_engine-b");
  EXPECT_EQ(reply.buffer(0), "genuine");
  a_.reply(of_a, "of a");
  a_.reply(of_a, "twice");
  EXPECT_EQ(client_.receive().buffer(0), "of a");
  EXPECT_TRUE(client_.silent());
}

TEST_F(ControllerBroadcast, TheOutputsOfACoalescingCallEnd) {
  Peer outputs(controller_.context(), controller_.client_info(), SocketKind::sub);
  outputs.socket().subscribe_all();
  outputs.connect(controller_.client_info().iopub);
  ASSERT_TRUE(eventually([&] {
    a_.iopub().send({.type = "comm_msg"});
    return outputs.socket().receive().has_value();
  }));
  const std::string id = call_both(true);
  const auto say = [](FakeEngine& engine, const Message& leg, std::string_view type,
                      std::string_view content) {
    engine.iopub().send({.type = type, .parent = leg.header(), .content = content});
  };
  const Message of_a = serve(a_);
  const Message of_b = serve(b_);
  for (const auto& [engine, leg] : {std::pair{&a_, &of_a}, std::pair{&b_, &of_b}}) {
    say(*engine, *leg, "status", R"({"execution_state": "busy"})");
    say(*engine, *leg, "stream", R"({"name": "stdout", "text": ")" + engine->uuid() + "\"}");
    say(*engine, *leg, "status", R"({"execution_state": "idle"})");
  }
  std::size_t leg_idles = 0;
  while (!HasFailure()) {
    const Message output = outputs.receive();
    const bool idle = json_of(output.content()).value("execution_state", "") == "idle";
    if (parent_id(output) == id) {
      EXPECT_TRUE(idle);
      EXPECT_FALSE(json_of(output.parent()).contains(coalesced_key));
      break;
    }
    leg_idles += idle ? 1U : 0U;
  }
  EXPECT_EQ(leg_idles, 2U) << "it comes behind the outputs of all legs";
  EXPECT_TRUE(eventually([&] {
    const std::string text = record(id).value("stdout", "");
    return text.find("engine-a") != std::string::npos && text.find("engine-b") != std::string::npos;
  })) << "the call's record has what all engines printed";
}

TEST_F(ControllerBroadcast, AWrongCallIsAnsweredUnlessItsHeaderCannotBeEchoed) {
  for (const std::string metadata :
       {"[]", "{}", R"({"targets": 5})", R"({"targets": [["engine-a"]]})",
        R"({"targets": [[0, "engine-a"]]})", R"({"targets": ["engine-a"]})"}) {
    const std::string id = client_.send({.type = "apply_request", .metadata = metadata});
    const Message reply = client_.receive();
    EXPECT_EQ(parent_id(reply), id);
    EXPECT_EQ(json_of(reply.content()).at("ename"), "TypeError") << metadata;
  }
  const Signer signer = test::make_signer(controller_.client_info().key);
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  client_.socket().send(test::wire_frames(
      {.header = R"({"msg_id": "m", "msg_type": "apply_request", "x": )" + deep + "}",
       .metadata = R"({"targets": []})"},
      signer));
  EXPECT_TRUE(client_.silent());
}

}  // namespace
}  // namespace ipf
