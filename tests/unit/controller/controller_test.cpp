// The whole controller in this process, with a client and an engine of bare sockets.
#include "controller/controller.hpp"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/controller/controller_testing.hpp"

namespace ipf {
namespace {

using test::eventually;
using test::FakeEngine;
using test::json_of;
using test::make_frames;
using test::Peer;
using test::TestController;
using test::texts_of;

constexpr std::string_view task_metadata =
    R"({"after": [], "follow": [], "timeout": 0.0, "targets": [], "retries": 0, "label": null})";

std::string error_name(const Message& reply) {
  return json_of(reply.content()).value("ename", "no error");
}

std::string parent_id(const Message& reply) {
  return json_of(reply.parent()).value("msg_id", "");
}

TEST(ControllerFiles, ArePrivateWhileItRunsAndGoneAfterwards) {
  TestController controller;
  const auto paths = controller.options().paths;
  EXPECT_EQ(test::mode_of(paths.client_file()), 0600U);
  EXPECT_EQ(test::mode_of(paths.engine_file()), 0600U);
  EXPECT_EQ(test::mode_of(paths.security()), 0700U);
  EXPECT_EQ(controller.client_info().key, controller.engine_info().key);
  EXPECT_EQ(controller.client_info().key.size(), 33U);
  EXPECT_EQ(controller.client_info().registration, controller.engine_info().registration);
  controller.stop();
  EXPECT_FALSE(std::filesystem::exists(paths.client_file()));
  EXPECT_FALSE(std::filesystem::exists(paths.engine_file()));
  EXPECT_EQ(controller.log().lines(LogLevel::warning), std::vector<std::string>{});
}

TEST(ControllerFiles, ReuseKeepsFilesPortsAndKey) {
  TestController controller([](ControllerOptions& options) { options.reuse = true; });
  const auto client = controller.client_info();
  const auto engine = controller.engine_info();
  controller.stop();
  EXPECT_TRUE(std::filesystem::exists(controller.options().paths.client_file()));
  controller.start();
  EXPECT_EQ(controller.client_info(), client);
  EXPECT_EQ(controller.engine_info(), engine);
}

TEST(ControllerFiles, ReuseDoesNotTakeOverAFileWithoutAKey) {
  test::TempDir dir;
  TestController controller([](ControllerOptions& options) { options.reuse = true; });
  ConnectionInfo client = controller.client_info();
  ConnectionInfo engine = controller.engine_info();
  controller.stop();
  client.key.clear();
  engine.key.clear();
  ASSERT_TRUE(
      write_connection_file(controller.options().paths.client_file(), client, PeerRole::client));
  ASSERT_TRUE(
      write_connection_file(controller.options().paths.engine_file(), engine, PeerRole::engine));
  controller.start();
  EXPECT_FALSE(controller.client_info().key.empty());
}

TEST(ControllerFiles, ReuseSignsAsTheFilesSay) {
  TestController controller([](ControllerOptions& options) { options.reuse = true; });
  ConnectionInfo client = controller.client_info();
  ConnectionInfo engine = controller.engine_info();
  controller.stop();
  client.signature_scheme = engine.signature_scheme = "hmac-sha512";
  ASSERT_TRUE(
      write_connection_file(controller.options().paths.client_file(), client, PeerRole::client));
  ASSERT_TRUE(
      write_connection_file(controller.options().paths.engine_file(), engine, PeerRole::engine));
  controller.start();
  const Signer signer = test::make_signer(client.key, "hmac-sha512");
  Session session("s", "me", signer);
  Socket query(controller.context(), SocketKind::dealer, {.linger_ms = 0});
  test::connect_to(query, client.registration);
  query.send(session.make({.type = "connection_request"}, wall_now()));
  const auto reply = test::receive(query);
  ASSERT_TRUE(reply) << "the controller does not understand its own files";
  EXPECT_TRUE(verify_message(*reply, signer));
}

TEST(ControllerStart, ASecondOneForTheSameClusterIsRefusedByPid) {
  TestController controller;
  const auto files = test::read_file(controller.options().paths.client_file());
  const auto second = Controller::start(controller.options(), controller.log());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  EXPECT_NE(second.error().message.find("pid " + std::to_string(getpid())), std::string::npos);
  EXPECT_EQ(test::read_file(controller.options().paths.client_file()), files);
}

TEST(ControllerStart, AnotherClusterIdMayRunBeside) {
  TestController controller;
  ControllerOptions options = controller.options();
  options.paths.cluster_id = "other";
  EXPECT_TRUE(Controller::start(options, controller.log()));
}

TEST(ControllerStart, WithoutSignaturesOnlyLoopbackIsAllowed) {
  TestController controller;
  ControllerOptions options = controller.options();
  options.paths.cluster_id = "open";
  options.secure = false;
  EXPECT_TRUE(Controller::start(options, controller.log()));
  options.client_ip = "0.0.0.0";
  const auto refused = Controller::start(options, controller.log());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
}

TEST(ControllerStart, ATakenPortIsNamedAndNoFileIsWritten) {
  TestController controller;
  ControllerOptions options = controller.options();
  options.paths.cluster_id = "other";
  options.registration_port = controller.client_info().registration;
  const auto refused = Controller::start(options, controller.log());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find(std::to_string(options.registration_port)),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(options.paths.client_file()));
}

TEST(ControllerRegistration, IsCompleteWithTheFirstPongAndAnnounced) {
  TestController controller;
  Peer notifications(controller.context(), controller.client_info(), SocketKind::sub);
  notifications.socket().subscribe_all();
  notifications.connect(controller.client_info().notification);
  Peer query = controller.client(controller.client_info().registration);
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  EXPECT_EQ(controller.ask_hub(query, "connection_request").at("engines"), Json::object());
  EXPECT_EQ(engine.join(), 0);  // with a period of a minute only the pong can complete it
  const Message note = notifications.receive();
  EXPECT_EQ(json_of(note.header()).at("msg_type"), "registration_notification");
  EXPECT_EQ(json_of(note.content()), json_of(R"({"id": 0, "uuid": "engine-a"})"));
  EXPECT_EQ(controller.ask_hub(query, "connection_request").at("engines"),
            json_of(R"({"0": "engine-a"})"));
  engine.leave(0);
  EXPECT_EQ(json_of(notifications.receive().header()).at("msg_type"),
            "unregistration_notification");
}

TEST(ControllerRegistration, TheReplyHasNoParentAndNoKey) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  engine.registration().send(
      {.type = "registration_request", .content = R"({"uuid": "engine-a"})"});
  const Message reply = engine.registration().receive();
  EXPECT_EQ(reply.parent(), "{}");
  EXPECT_EQ(std::string(reply.content()).find(controller.client_info().key), std::string::npos);
}

TEST(ControllerTask, GoesThereAndBack) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  Peer client = controller.client(controller.client_info().task);
  engine.join();
  const auto large = std::make_shared<const std::string>(1'000'000, 'L');
  const std::vector<SharedBytes> buffers{{large, *large}, {}};
  const std::string id =
      client.send({.type = "apply_request", .metadata = task_metadata, .buffers = buffers});
  const Message request = engine.receive();
  EXPECT_EQ(request.identity_count(), 2U);
  EXPECT_EQ(request.identity(0), "task_out");
  EXPECT_EQ(json_of(request.header()).at("msg_id"), id);
  ASSERT_EQ(request.buffer_count(), 2U);
  EXPECT_EQ(request.buffer(0), *large);
  engine.reply(request, "result");
  const Message reply = client.receive();
  EXPECT_EQ(parent_id(reply), id);
  EXPECT_EQ(reply.identity(0), "engine-a");
  EXPECT_EQ(reply.buffer(0), "result");
  Peer query = controller.client(controller.client_info().registration);
  EXPECT_TRUE(eventually([&] {
    return controller.ask_hub(query, "history_request").value("history", Json::array()) ==
           Json::array({id});
  }));
  const Json record = controller.ask_hub(query, "result_request",
                                         R"({"msg_ids": [")" + id + R"("], "status_only": true})");
  EXPECT_EQ(record.at("completed"), Json::array({id}));
}

TEST(ControllerTask, AnUnknownTargetIsAnsweredAndRecorded) {
  TestController controller;
  Peer client = controller.client(controller.client_info().task);
  const std::string id =
      client.send({.type = "apply_request", .metadata = R"({"targets": ["nobody"]})"});
  const Message reply = client.receive();
  EXPECT_EQ(error_name(reply), "ImpossibleDependency");
  EXPECT_EQ(parent_id(reply), id);
  EXPECT_EQ(json_of(reply.header()).at("msg_type"), "apply_reply");
  Peer query = controller.client(controller.client_info().registration);
  EXPECT_TRUE(eventually([&] {
    return controller.ask_hub(query, "history_request").value("history", Json::array()) ==
           Json::array({id});
  })) << "a task that failed at once has no record";
}

TEST(ControllerTask, WrongMetadataAndForeignTypesAreAnswered) {
  TestController controller;
  Peer client = controller.client(controller.client_info().task);
  client.send({.type = "apply_request", .metadata = R"({"retries": -1})"});
  EXPECT_EQ(error_name(client.receive()), "TypeError");
  client.send({.type = "shutdown_request", .metadata = task_metadata});
  EXPECT_EQ(error_name(client.receive()), "TypeError");
}

TEST(ControllerMux, CarriesMessagesBetweenTheClientAndTheNamedEngine) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  Peer client = controller.client(controller.client_info().mux);
  engine.join();
  const std::vector<std::string_view> route{"engine-a"};
  // The announcement runs through a mailbox: until it is there the engine is unknown.
  std::string id;
  ASSERT_TRUE(eventually([&] {
    id = client.send(
        {.type = "apply_request", .metadata = R"({"label": null})", .identities = route});
    return client.silent();
  }));
  const Message request = engine.receive();
  EXPECT_EQ(request.identity(0), "mux_out");
  EXPECT_EQ(json_of(request.header()).at("msg_id"), id);
  engine.reply(request, "direct");
  const Message reply = client.receive();
  EXPECT_EQ(parent_id(reply), id);
  EXPECT_EQ(reply.identity(0), "engine-a");
  EXPECT_EQ(reply.buffer(0), "direct");
}

TEST(ControllerMux, AnUnknownEngineIsAnsweredWithAnError) {
  TestController controller;
  for (const int port : {controller.client_info().mux, controller.client_info().control}) {
    Peer client = controller.client(port);
    const std::vector<std::string_view> route{"nobody"};
    const std::string id = client.send({.type = "abort_request", .identities = route});
    const Message reply = client.receive();
    EXPECT_EQ(error_name(reply), "EngineError");
    EXPECT_EQ(parent_id(reply), id);
    EXPECT_EQ(json_of(reply.header()).at("msg_type"), "abort_reply");
    EXPECT_EQ(reply.identity(0), "nobody");
  }
}

TEST(ControllerIopub, OutputReachesTheClients) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  Peer client(controller.context(), controller.client_info(), SocketKind::sub);
  client.socket().subscribe_all();
  client.connect(controller.client_info().iopub);
  const std::vector<std::string_view> topic{"engine.0.stdout"};
  // PUB drops what is sent before the subscription is there, so the first ones may be lost.
  std::optional<Frames> got;
  ASSERT_TRUE(eventually([&] {
    engine.iopub().send({.type = "stream",
                         .content = R"({"name": "stdout", "text": "hello"})",
                         .identities = topic});
    got = client.socket().receive();
    return got.has_value();
  }));
  EXPECT_EQ((*got)[0], "engine.0.stdout");
}

// ---- hostile peers ------------------------------------------------------------------------------

/// What no socket may take, as frames behind the socket's own identity.
std::vector<std::vector<std::string>> hostile_messages(const ConnectionInfo& info,
                                                       const std::string& header) {
  const Signer signer = test::make_signer(info.key);
  const Signer stranger = test::make_signer("somebody else's key");
  const auto good = test::wire_texts({.identities = {"nobody"}, .header = header}, signer);
  std::vector<std::string> upper = good;
  std::ranges::transform(upper[2], upper[2].begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  std::vector<std::string> unsigned_one = good;
  unsigned_one[2].clear();
  return {
      {"garbage"},
      {""},
      {"", "", ""},
      {std::string(100'000, 'x')},
      {good.begin(), good.begin() + 4},  // truncated
      upper,
      unsigned_one,
      test::wire_texts({.identities = {"nobody"}, .header = header}, stranger),
      test::wire_texts({.identities = {"nobody"}, .header = "{\"no\": \"id\"}"}, signer),
      test::wire_texts({.identities = {"nobody"}, .header = "not json"}, signer),
      test::wire_texts({.identities = {"nobody"}, .header = std::string(100'000, ' ')}, signer)};
}

TEST(ControllerHostile, EverySocketDropsBadMessagesWithOneLineAndSurvives) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  engine.join();
  const auto& info = controller.client_info();
  const auto& inner = controller.engine_info();
  const std::map<std::string, std::vector<int>> ports{
      {"hub", {info.registration}},
      {"task", {info.task, inner.task}},
      {"mux", {info.mux, inner.mux}},
      {"control", {info.control, inner.control}},
      {"broadcast", {info.broadcast.at(0), inner.broadcast.at(0)}}};
  std::vector<Peer> strangers;
  for (const auto& [where, list] : ports) {
    for (const int port : list) {
      strangers.push_back(controller.client(port));
      for (const auto& frames :
           hostile_messages(info, R"({"msg_id": "h", "msg_type": "apply_request"})")) {
        strangers.back().socket().send(make_frames(frames));
      }
    }
    EXPECT_TRUE(eventually([&] {
      return !controller.log().lines(LogLevel::warning, where + "::dropped").empty();
    })) << where;
  }
  for (auto& stranger : strangers) {
    EXPECT_TRUE(stranger.silent(std::chrono::milliseconds(5))) << "who cannot sign gets no answer";
  }
  // Everything still works, and each socket's owner wrote one line only.
  Peer client = controller.client(info.task);
  client.send({.type = "apply_request", .metadata = task_metadata});
  engine.reply(engine.receive(), "alive");
  EXPECT_EQ(client.receive().buffer(0), "alive");
  for (const auto& [where, list] : ports) {
    EXPECT_EQ(controller.log().lines(LogLevel::warning, where + "::dropped").size(), 1U) << where;
  }
  EXPECT_EQ(controller.log().lines(LogLevel::error), std::vector<std::string>{});
  EXPECT_FALSE(controller.controller().failed());
  for (const auto& text : controller.log().lines(LogLevel::debug)) {
    EXPECT_EQ(text.find(info.key), std::string::npos) << "the key is in the log";
  }
}

TEST(ControllerHostile, AReplayedRequestIsAnsweredOnce) {
  TestController controller;
  const auto& info = controller.client_info();
  const Signer signer = test::make_signer(info.key);
  const std::map<int, test::WireParts> requests{
      {info.registration, {.header = R"({"msg_id": "r1", "msg_type": "connection_request"})"}},
      {info.task,
       {.header = R"({"msg_id": "r2", "msg_type": "apply_request"})",
        .metadata = R"({"targets": ["x"]})"}},
      {info.mux,
       {.identities = {"nobody"}, .header = R"({"msg_id": "r3", "msg_type": "apply_request"})"}},
      {info.control,
       {.identities = {"nobody"}, .header = R"({"msg_id": "r4", "msg_type": "abort_request"})"}}};
  for (const auto& [port, parts] : requests) {
    Peer client = controller.client(port);
    const Frames frames = test::wire_frames(parts, signer);
    client.socket().send(frames);
    client.receive();
    client.socket().send(frames);
    EXPECT_TRUE(client.silent()) << port;
  }
}

/// A reply to the request, made by somebody who does not know the key.
Frames forged_reply(const Message& request) {
  return test::wire_frames(
      {.identities = {std::string(request.identity(0)), std::string(request.identity(1))},
       .header = R"({"msg_id": "forged", "msg_type": "apply_reply"})",
       .parent = std::string(request.header()),
       .metadata = std::string(request.metadata()).insert(1, R"("status": "ok", )"),
       .buffers = {"forged"}},
      test::make_signer("somebody else's key"));
}

TEST(ControllerHostile, AForgedReplyReachesNoClient) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  engine.join();
  Peer query = controller.client(controller.client_info().registration);
  ASSERT_TRUE(eventually(
      [&] { return controller.ask_hub(query, "connection_request").at("engines").size() == 1; }));
  Peer task = controller.client(controller.client_info().task);
  task.send({.type = "apply_request", .metadata = task_metadata});
  Peer broadcast = controller.client(controller.client_info().broadcast.at(0));
  broadcast.send(
      {.type = "apply_request", .metadata = R"({"targets": [["engine-a", 0]], "label": null})"});
  for (int i = 0; i < 2; ++i) {
    const Message request = engine.receive();
    engine.shell().socket().send(forged_reply(request));
    engine.reply(request, "genuine",
                 {{"original_msg_id", json_of(request.metadata()).value("original_msg_id", "")}});
  }
  EXPECT_EQ(task.receive().buffer(0), "genuine");
  EXPECT_EQ(broadcast.receive().buffer(0), "genuine");
}

TEST(ControllerHostile, AForgedOutputReachesNoClient) {
  TestController controller;
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  Peer client(controller.context(), controller.client_info(), SocketKind::sub);
  client.socket().subscribe_all();
  client.connect(controller.client_info().iopub);
  ASSERT_TRUE(eventually([&] {
    engine.iopub().send({.type = "stream"});
    return client.socket().receive().has_value();
  }));
  engine.iopub().socket().send(test::wire_frames(
      {.header = R"({"msg_id": "forged", "msg_type": "stream"})"}, test::make_signer("wrong")));
  engine.iopub().send({.type = "end"});
  std::string type;
  while (type != "end" && !HasFailure()) {
    type = json_of(client.receive().header()).value("msg_type", "");  // verifies
  }
}

TEST(ControllerHostile, AFalsePongOrPingSubscriptionHurtsNobody) {
  TestController controller;
  Socket pong(controller.context(), SocketKind::dealer, {.identity = "stranger", .linger_ms = 0});
  test::connect_to(pong, controller.engine_info().hb_pong);
  pong.send(make_frames({"1.5"}));
  pong.send(make_frames({"a", "b", "c"}));
  pong.send(make_frames({std::string(100'000, 'x')}));
  FakeEngine engine(controller.context(), controller.engine_info(), "engine-a");
  EXPECT_EQ(engine.join(), 0);
  Peer query = controller.client(controller.client_info().registration);
  EXPECT_TRUE(eventually(
      [&] { return controller.ask_hub(query, "connection_request").at("engines").size() == 1; }));
}

TEST(ControllerEnd, AClientsShutdownRequestMakesTheDescriptorReadable) {
  TestController controller;
  Peer query = controller.client(controller.client_info().registration);
  EXPECT_EQ(controller.ask_hub(query, "shutdown_request").value("status", ""), "ok");
  Poller poller;
  const auto index = poller.add_fd(controller.controller().finished_fd());
  poller.wait(steady_now(), steady_now() + test::patience);
  EXPECT_TRUE(poller.ready(index));
  EXPECT_FALSE(controller.controller().failed());
}

}  // namespace
}  // namespace ipf
