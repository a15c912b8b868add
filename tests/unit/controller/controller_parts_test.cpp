// The controller's small parts: outbox, pair relay, ports, lock, rejection log.
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "controller/crew.hpp"
#include "controller/engine_outbox.hpp"
#include "controller/instance_lock.hpp"
#include "controller/listen_plan.hpp"
#include "controller/pair_relay.hpp"
#include "controller/rejection_log.hpp"
#include "controller/status_report.hpp"
#include "unit/controller/controller_testing.hpp"

namespace ipf {
namespace {

using test::make_frames;
using test::texts_of;

constexpr Duration seconds(int count) {
  return std::chrono::seconds(count);
}
constexpr TimePoint start{1'000'000'000};

// ---- PortPool -----------------------------------------------------------------------------------

std::vector<int> all_ports(std::string_view text) {
  auto pool = PortPool::parse(text);
  std::vector<int> out;
  if (!pool) {
    return {-1};
  }
  while (!pool->empty()) {
    out.push_back(pool->take());
  }
  return out;
}

TEST(PortPool, ReadsNumbersAndRangesInOrder) {
  EXPECT_EQ(all_ports(""), std::vector<int>{});
  EXPECT_EQ(all_ports("10101"), std::vector{10101});
  EXPECT_EQ(all_ports("10101-10103,10120"), (std::vector{10101, 10102, 10103, 10120}));
  EXPECT_EQ(all_ports("9-9,3,65535"), (std::vector{9, 3, 65535}));
  EXPECT_EQ(all_ports("1-65535").size(), 65535U);
}

TEST(PortPool, RefusesWhatIsNoPortByName) {
  for (const std::string text : {"0", "65536", "-1", "1-", "-", "a", "1-2-3", "5-4", "1,,2", ",1",
                                 " 1", "1 ", "1.5", "0-5", "99999999999", "+1", "1;2"}) {
    const auto pool = PortPool::parse(text);
    ASSERT_FALSE(pool) << text;
    EXPECT_EQ(pool.error().message,
              "ports '" + text + "': use numbers and ranges such as 10101-10110,10120");
  }
}

TEST(PortPool, FallsThroughToTheCommonPoolAndThenToTheSystem) {
  PortPool own = *PortPool::parse("1");
  PortPool common = *PortPool::parse("2");
  own.put_first(7);
  EXPECT_EQ(own.take(&common), 7);
  EXPECT_EQ(own.take(&common), 1);
  EXPECT_EQ(own.take(&common), 2);
  EXPECT_EQ(own.take(&common), 0);
  EXPECT_EQ(own.take(), 0);
}

// ---- InstanceLock -------------------------------------------------------------------------------

TEST(InstanceLock, IsHeldOnceAndFreeAfterwards) {
  const test::TempDir dir;
  const auto path = dir / "lock";
  {
    const auto first = InstanceLock::take(path);
    ASSERT_TRUE(first);
    EXPECT_EQ(test::mode_of(path), 0600U);
    EXPECT_EQ(test::read_file(path), std::to_string(getpid()));
    const auto second = InstanceLock::take(path);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::unavailable);
    EXPECT_NE(second.error().message.find("(pid " + std::to_string(getpid()) + ")"),
              std::string::npos);
  }
  EXPECT_TRUE(InstanceLock::take(path));
}

TEST(InstanceLock, AFileThatAKilledControllerLeftIsNoLock) {
  const test::TempDir dir;
  test::write_file(dir / "lock", "12345678901234567890");
  {
    const auto taken = InstanceLock::take(dir / "lock");
    ASSERT_TRUE(taken);
    EXPECT_EQ(test::read_file(dir / "lock"), std::to_string(getpid()));
  }
  EXPECT_FALSE(std::filesystem::exists(dir / "lock"));
}

TEST(InstanceLock, MovesWithItsOwner) {
  const test::TempDir dir;
  std::optional<InstanceLock> holder;
  {
    auto taken = InstanceLock::take(dir / "lock");
    ASSERT_TRUE(taken);
    holder.emplace(*std::move(taken));
  }
  EXPECT_FALSE(InstanceLock::take(dir / "lock"));
  holder.reset();
  EXPECT_TRUE(InstanceLock::take(dir / "lock"));
}

TEST(InstanceLock, ASymlinkIsNotFollowed) {
  const test::TempDir dir;
  test::write_file(dir / "victim", "precious");
  std::filesystem::create_symlink(dir / "victim", dir / "lock");
  EXPECT_FALSE(InstanceLock::take(dir / "lock"));
  EXPECT_EQ(test::read_file(dir / "victim"), "precious");
}

// ---- RejectionLog -------------------------------------------------------------------------------

TEST(RejectionLog, WritesTheFirstOfABurstAndASummaryLater) {
  test::KeptLog log;
  RejectionLog rejections(log, "task");
  const Error error{ErrorCode::bad_signature, "wrong signature"};
  for (int i = 0; i < 1000; ++i) {
    rejections.note(start, "a request", error);
  }
  EXPECT_EQ(log.lines(LogLevel::warning),
            std::vector<std::string>{"task::dropped a request: wrong signature"});
  rejections.note(start + (seconds(10) - Duration{1}), "a request", error);
  EXPECT_EQ(log.lines(LogLevel::warning).size(), 1U);
  rejections.note(start + seconds(10), "a reply", {ErrorCode::malformed, "no delimiter"});
  EXPECT_EQ(log.lines(LogLevel::warning).at(1),
            "task::dropped a reply: no delimiter (and 1000 more since the last such line)");
  rejections.note(start + seconds(20), "a reply", error, "10.0.0.1:99");
  EXPECT_EQ(log.lines(LogLevel::warning).at(2),
            "task::dropped a reply of 10.0.0.1:99: wrong signature");
  rejections.note(start + seconds(20), "a request", {ErrorCode::replayed, "message seen before"});
  EXPECT_EQ(rejections.count(), 1004U);
  EXPECT_EQ(rejections.counts().bad_signatures, 1002U);
  EXPECT_EQ(rejections.counts().malformed, 1U);
  EXPECT_EQ(rejections.counts().replays, 1U);
}

// ---- figures ------------------------------------------------------------------------------------

TEST(QueueBoard, OthersReadWhatOneThreadWrites) {
  QueueBoard board;
  EXPECT_EQ(board.read().finished, 0U);
  constexpr std::uint64_t rounds = 100'000;
  std::jthread writer([&board] {
    for (std::uint64_t i = 1; i <= rounds; ++i) {
      board.write({.clients = {.messages_in = i}, .finished = 2 * i});
    }
  });
  std::uint64_t last = 0;
  while (last < rounds) {
    const QueueFigures seen = board.read();
    ASSERT_GE(seen.clients.messages_in, last);
    ASSERT_EQ(seen.finished % 2, 0U);
    last = seen.clients.messages_in;
  }
  writer.join();  // the figures of one write arrive one after the other
  EXPECT_EQ(board.read().finished, 2 * rounds);
}

TEST(StatusReport, NamesEveryFigure) {
  const Json json = status_json({.uptime = seconds(2),
                                 .hub = {.engines = 3},
                                 .store_name = "NoDB",
                                 .queues = {{"task", {.rejected = {.replays = 4}, .open = 5}}}});
  EXPECT_EQ(json.at("uptime"), 2.0);
  EXPECT_EQ(json.at("engines"), 3);
  EXPECT_EQ(json.at("store").at("name"), "NoDB");
  EXPECT_EQ(json.at("queues").at("task").at("rejected").at("replays"), 4);
  EXPECT_EQ(json.at("queues").at("task").at("open"), 5);
}

// ---- EngineOutbox -------------------------------------------------------------------------------

/// A ROUTER with an outbox, and what it gave up.
struct OutboxBench {
  NetContext context{};
  Socket router{context, SocketKind::router, {.mandatory = true, .handover = true}};
  std::vector<std::string> given_up{};
  EngineOutbox outbox{
      router, [this](const std::string& uuid, const std::string& id, const Message& /*message*/) {
        given_up.push_back(uuid + " " + id);
      }};
  int port{test::bind_any(router)};

  void send(TimePoint now, const std::string& uuid, const std::string& id) {
    outbox.send(now, uuid, id, test::unsigned_message({.identities = {"client"}, .content = id}));
  }
  /// Connects an engine and waits until the router knows it.
  Socket engine(const std::string& uuid) {
    Socket socket(context, SocketKind::dealer, {.identity = uuid, .linger_ms = 0});
    test::connect_to(socket, port);
    socket.send(make_frames({"hello"}));
    EXPECT_TRUE(test::receive(router));
    return socket;
  }
};

/// The contents of what an engine got, which must be addressed to the client.
std::string content_of(Socket& engine) {
  const auto frames = test::receive(engine);
  if (!frames) {
    return "nothing";
  }
  const auto message = Message::split(*frames);
  EXPECT_TRUE(message && message->identity_count() == 1 && message->identity(0) == "client");
  return message ? std::string(message->content()) : "broken";
}

TEST(EngineOutbox, SendsAtOnceToAConnectedEngine) {
  OutboxBench bench;
  Socket engine = bench.engine("e");
  bench.send(start, "e", "m1");
  EXPECT_EQ(bench.outbox.next_deadline(start), TimePoint::never());
  EXPECT_EQ(content_of(engine), "m1");
}

TEST(EngineOutbox, KeepsMessagesInOrderUntilTheEngineConnects) {
  OutboxBench bench;
  bench.send(start, "e", "m1");
  bench.send(start, "e", "m2");
  EXPECT_LT(bench.outbox.next_deadline(start), start + seconds(1));
  bench.outbox.retry(start);
  Socket engine = bench.engine("e");
  bench.send(start, "e", "m3");  // must not overtake what is kept
  bench.outbox.retry(start);
  EXPECT_EQ(content_of(engine), "m1");
  EXPECT_EQ(content_of(engine), "m2");
  EXPECT_EQ(content_of(engine), "m3");
  EXPECT_EQ(bench.outbox.next_deadline(start), TimePoint::never());
  EXPECT_TRUE(bench.given_up.empty());
}

TEST(EngineOutbox, GivesUpAfterFiveSeconds) {
  OutboxBench bench;
  bench.send(start, "e", "m1");
  bench.send(start + seconds(1), "e", "m2");
  bench.outbox.retry(start + (seconds(5) - Duration{1}));
  EXPECT_TRUE(bench.given_up.empty());
  bench.outbox.retry(start + seconds(5));
  EXPECT_EQ(bench.given_up, std::vector<std::string>{"e m1"});
  bench.outbox.retry(start + seconds(6));
  EXPECT_EQ(bench.given_up, (std::vector<std::string>{"e m1", "e m2"}));
  EXPECT_EQ(bench.outbox.next_deadline(start), TimePoint::never());
}

/// A restored task may be on its engine already: nobody else gets it while the hub waits for that.
TEST(EngineOutbox, KeepsARestoredTaskUntilItsEngineIsForgotten) {
  OutboxBench bench;
  bench.outbox.send(start, "e", "restored", test::unsigned_message({.identities = {"client"}}),
                    EngineOutbox::Patience::until_forgotten);
  bench.send(start, "e", "new");
  bench.outbox.retry(start + seconds(60));
  EXPECT_EQ(bench.given_up, std::vector<std::string>{"e new"});
  EXPECT_NE(bench.outbox.next_deadline(start), TimePoint::never());
  bench.outbox.forget("e");
  EXPECT_EQ(bench.outbox.next_deadline(start), TimePoint::never());
}

TEST(EngineOutbox, ForgetsAnEngineThatIsGoneAndHoldsNobodyElseUp) {
  OutboxBench bench;
  bench.send(start, "gone", "m1");
  bench.send(start, "slow", "m2");
  bench.outbox.forget("gone");
  bench.outbox.retry(start + seconds(60));
  EXPECT_EQ(bench.given_up, std::vector<std::string>{"slow m2"});
  Socket engine = bench.engine("e");
  bench.send(start, "slow", "m3");
  bench.send(start, "e", "m4");
  EXPECT_EQ(content_of(engine), "m4");
}

// ---- Crew ---------------------------------------------------------------------------------------

bool readable(int fd) {
  Poller poller;
  const auto at = poller.add_fd(fd);
  poller.wait(steady_now(), steady_now() + std::chrono::milliseconds(1));
  return poller.ready(at);
}

void until_stopped(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::this_thread::yield();
  }
}

TEST(Crew, AThreadThatFailsEndsAll) {
  test::KeptLog log;
  Crew crew(log);
  crew.start("hub", until_stopped, [] {});
  EXPECT_FALSE(readable(crew.finished_fd()));
  crew.start(
      "relay", [](const std::stop_token&) { throw std::runtime_error("out of luck"); }, [] {});
  EXPECT_TRUE(test::eventually([&] { return readable(crew.finished_fd()); }));
  EXPECT_TRUE(crew.failed());
  EXPECT_EQ(log.lines(LogLevel::error),
            std::vector<std::string>{"the relay thread failed, the controller ends: out of luck"});
  crew.stop();
}

TEST(Crew, AThreadThatEndsByItselfIsAFailure) {
  for (const bool with_throw : {false, true}) {
    test::KeptLog log;
    Crew crew(log);
    crew.start(
        "hub",
        [with_throw](const std::stop_token&) {
          if (with_throw) {
            throw 5;  // NOLINT(hicpp-exception-baseclass): no matter what it is
          }
        },
        [] {});
    EXPECT_TRUE(test::eventually([&] { return crew.failed(); }));
  }
}

TEST(Crew, StoppingWakesAndJoinsEveryThread) {
  test::KeptLog log;
  int woken = 0;
  {
    Crew crew(log);
    crew.start("a", until_stopped, [&] { ++woken; });
    crew.start("b", until_stopped, [&] { ++woken; });
    crew.finish();
    EXPECT_TRUE(readable(crew.finished_fd()));
  }
  EXPECT_EQ(woken, 2);
  EXPECT_TRUE(log.lines(LogLevel::error).empty());
}

// ---- PairRelay ----------------------------------------------------------------------------------

/// A relay with one client and one engine at its sockets.
struct RelayBench {
  explicit RelayBench(bool recorded = true, const OpenRequests::Options& open = {})
      : relay(
            loop, signer, seen, {.name = "mux", .recorded = recorded, .open = open}, session, log),
        client(context, SocketKind::dealer, {.identity = "client", .linger_ms = 0}),
        engine(context, SocketKind::router, {.identity = "e", .linger_ms = 0}) {
    test::connect_to(client, relay.clients().bind(test::loopback, 0).value_or(0));
    test::connect_to(engine, relay.engines().bind(test::loopback, 0).value_or(0));
  }
  void from_client(const test::WireParts& parts) { client.send(test::wire_frames(parts, signer)); }
  /// Waits for input and relays it.
  void relay_requests() {
    wait(relay.clients());
    relay.receive_requests(now, to_hub);
    relay.flush(now);
  }
  void relay_replies() {
    wait(relay.engines());
    relay.receive_replies(now, to_hub);
    relay.flush(now);
  }
  void wait(const ZmtpRouter& socket) {
    EXPECT_TRUE(test::eventually([&] {
      turn();
      return socket.readable();
    }));
  }
  void turn() {
    const TimePoint real = steady_now();
    loop.wait(real, real + std::chrono::milliseconds(1));
  }
  /// What the engine got, as it lies on the wire; the relay tries again until it is connected.
  std::vector<std::string> at_engine() {
    std::optional<Frames> frames;
    EXPECT_TRUE(test::eventually([&] {
      turn();
      relay.retry(now);
      relay.flush(now);
      frames = engine.receive();
      return frames.has_value();
    }));
    return frames ? texts_of(*frames) : std::vector<std::string>{};
  }

  TimePoint now{start};
  NetContext context{};
  test::KeptLog log{};
  Signer signer{test::make_signer()};
  Session session{"relay", "me", signer};
  IoLoop loop{};
  SeenSignatures seen{};
  PairRelay relay;
  Socket client;
  Socket engine;
  std::vector<HubEvent> to_hub{};
};

std::vector<std::string> with_route(std::vector<std::string> frames,
                                    const std::vector<std::string>& route) {
  frames.insert(frames.begin(), route.begin(), route.end());
  return frames;
}

TEST(PairRelay, CarriesBothWaysWithoutTouchingASignedByte) {
  RelayBench bench;
  bench.relay.engine_announced("e");
  const test::WireParts request{.header = R"({"msg_id" :  "q", "msg_type": "apply_request"})",
                                .buffers = {"b", ""}};
  auto addressed = request;
  addressed.identities = {"e"};
  bench.from_client(addressed);
  bench.relay_requests();
  const auto plain_request = test::wire_texts(request, bench.signer);
  EXPECT_EQ(bench.at_engine(), with_route(plain_request, {"mux_out", "client"}));
  ASSERT_EQ(bench.to_hub.size(), 1U);
  EXPECT_EQ(std::get<RequestSeen>(bench.to_hub[0]).engine_uuid, "e");
  EXPECT_EQ(std::get<RequestSeen>(bench.to_hub[0]).msg_id, "q");

  const test::WireParts reply{.header = R"({"msg_id": "r", "msg_type": "apply_reply"})",
                              .parent = request.header};
  const auto plain_reply = test::wire_texts(reply, bench.signer);
  bench.engine.send(make_frames(with_route(plain_reply, {"mux_out", "client"})));
  bench.relay_replies();
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), with_route(plain_reply, {"e"}));
  ASSERT_EQ(bench.to_hub.size(), 2U);
  EXPECT_EQ(std::get<ReplySeen>(bench.to_hub[1]).msg_id, "q");
  EXPECT_EQ(std::get<ReplySeen>(bench.to_hub[1]).engine_uuid, "e");
}

TEST(PairRelay, AReplyWithAWrongSignatureReachesNoClient) {
  RelayBench bench;
  bench.relay.engine_announced("e");
  bench.from_client({.identities = {"e"}});
  bench.relay_requests();
  bench.at_engine();
  const auto send = [&](const Signer& signer) {
    const auto reply = test::wire_texts({.header = R"({"msg_id": "r", "msg_type": "apply_reply"})",
                                         .parent = test::WireParts{}.header},
                                        signer);
    bench.engine.send(make_frames(with_route(reply, {"mux_out", "client"})));
  };
  send(test::make_signer("wrong"));
  bench.relay_replies();
  const auto lines = bench.log.lines(LogLevel::warning);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_TRUE(lines[0].starts_with("mux::dropped a reply of 127.0.0.1:")) << lines[0];
  EXPECT_TRUE(lines[0].ends_with(": wrong signature")) << lines[0];
  send(bench.signer);
  bench.relay_replies();
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  EXPECT_TRUE(verify_message(*got, bench.signer)) << "the forged reply came first";
}

TEST(PairRelay, TheControlQueueIsNotRecorded) {
  RelayBench bench(false);
  bench.relay.engine_announced("e");
  bench.from_client({.identities = {"e"}});
  bench.relay_requests();
  EXPECT_FALSE(bench.at_engine().empty());
  EXPECT_TRUE(bench.to_hub.empty());
}

TEST(PairRelay, ARetiredEngineIsAnsweredFor) {
  RelayBench bench;
  bench.relay.engine_announced("e");
  bench.relay.engine_retired(bench.now, "e");
  bench.from_client(
      {.identities = {"e"}, .header = R"({"msg_id": "q", "msg_type": "execute_request"})"});
  bench.relay_requests();
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  const auto reply = verify_message(*got, bench.signer);
  ASSERT_TRUE(reply);
  EXPECT_EQ(test::json_of(reply->header()).at("msg_type"), "execute_reply");
  EXPECT_EQ(reply->parent(), R"({"msg_id": "q", "msg_type": "execute_request"})");
  EXPECT_EQ(test::json_of(reply->content()).at("ename"), "EngineError");
  EXPECT_TRUE(bench.to_hub.empty());
}

TEST(PairRelay, AnEngineThatNeverConnectsIsAnsweredForAfterAWhile) {
  RelayBench bench;
  bench.relay.engine_announced("ghost");
  bench.from_client({.identities = {"ghost"}});
  bench.relay_requests();
  EXPECT_NE(bench.relay.next_deadline(bench.now), TimePoint::never());
  bench.now = bench.now + seconds(6);
  bench.relay.retry(bench.now);
  bench.relay.flush(bench.now);
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  EXPECT_EQ(test::json_of(verify_message(*got, bench.signer)->content()).at("ename"),
            "EngineError");
}

/// A reply of the engine `e` to the client, as it puts it on the wire.
Frames reply_of_engine(const RelayBench& bench,
                       const std::string& parent_id,
                       const std::string& type = "apply_reply") {
  static int number = 0;
  const test::WireParts reply{
      .header =
          R"({"msg_id": "r)" + std::to_string(++number) + R"(", "msg_type": ")" + type + "\"}",
      .parent = R"({"msg_id": ")" + parent_id + R"(", "msg_type": "apply_request"})"};
  return make_frames(with_route(test::wire_texts(reply, bench.signer), {"mux_out", "client"}));
}

TEST(PairRelay, AnEngineAnswersOnlyWhatItWasAskedAndOnlyOnce) {
  RelayBench bench;
  bench.relay.engine_announced("e");
  bench.from_client(
      {.identities = {"e"}, .header = R"({"msg_id": "q", "msg_type": "apply_request"})"});
  bench.relay_requests();
  bench.at_engine();
  bench.engine.send(reply_of_engine(bench, "somebody else's"));
  bench.engine.send(reply_of_engine(bench, "q"));
  bench.engine.send(reply_of_engine(bench, "q"));
  bench.engine.send(reply_of_engine(bench, "x", "complete_reply"));
  std::vector<std::string> parents;
  EXPECT_TRUE(test::eventually([&] {
    bench.turn();
    bench.relay.receive_replies(bench.now, bench.to_hub);
    bench.relay.flush(bench.now);
    while (const auto got = bench.client.receive()) {
      parents.push_back(
          test::json_of(verify_message(*got, bench.signer)->parent()).value("msg_id", ""));
    }
    return !parents.empty() && parents.back() == "x";
  }));
  EXPECT_EQ(parents, (std::vector<std::string>{"q", "x"}));
}

TEST(PairRelay, AnEngineWithANewConnectionGetsUnansweredControlRequestsOnceMore) {
  RelayBench bench(false);
  bench.relay.engine_announced("e");
  const auto ask = [&](const std::string& msg_id, const std::string& type) {
    bench.from_client(
        {.identities = {"e"},
         .header = R"({"msg_id": ")" + msg_id + R"(", "msg_type": ")" + type + R"("})"});
    bench.relay_requests();
    return bench.at_engine();
  };
  ask("answered", "usage_request");
  ask("never answered by anybody", "no_such_request");
  const auto lost = ask("lost", "clear_request");
  bench.engine.send(reply_of_engine(bench, "answered", "usage_reply"));
  bench.relay_replies();
  bench.engine = Socket(bench.context, SocketKind::router, {.identity = "e", .linger_ms = 0});
  EXPECT_TRUE(test::eventually([&] {
    bench.turn();
    bench.relay.receive_replies(bench.now, bench.to_hub);
    return !bench.relay.engines().has_peer("e");
  }));
  test::connect_to(bench.engine, bench.relay.engines().bind(test::loopback, 0).value_or(0));
  std::optional<Frames> again;
  EXPECT_TRUE(test::eventually([&] {
    bench.turn();
    bench.relay.receive_replies(bench.now, bench.to_hub);
    bench.relay.flush(bench.now);
    again = bench.engine.receive();
    return again.has_value();
  }));
  ASSERT_TRUE(again);
  EXPECT_EQ(texts_of(*again), lost) << "byte for byte";
  EXPECT_FALSE(bench.engine.receive());
}

TEST(PairRelay, AnEarlierControllersRequestsMayBeAnsweredWithItsKey) {
  RelayBench bench;
  bench.signer.refuse_before({});
  bench.relay.engine_announced("e");
  const test::WireParts request{
      .identities = {"e"},
      .header = R"({"msg_id": "q", "msg_type": "apply_request", "date": "2026-11-21T10:00:00Z"})"};
  bench.from_client(request);
  bench.relay_requests();
  bench.at_engine();
  bench.engine.send(reply_of_engine(bench, "earlier"));
  bench.relay_replies();
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  EXPECT_EQ(test::json_of(verify_message(*got, bench.signer)->parent()).at("msg_id"), "earlier");
}

TEST(PairRelay, ASecondRequestWithTheMsgIdOfAnOpenOneIsDropped) {
  RelayBench bench;
  bench.relay.engine_announced("e");
  const std::string header = R"({"msg_id": "q", "msg_type": "apply_request"})";
  bench.from_client({.identities = {"e"}, .header = header});
  bench.relay_requests();
  bench.at_engine();
  bench.from_client({.identities = {"e"}, .header = header, .content = R"({"other": 1})"});
  bench.relay_requests();
  EXPECT_EQ(bench.log.lines(LogLevel::warning, "its msg_id is that of an open one").size(), 1U);
  EXPECT_EQ(bench.to_hub.size(), 1U);
}

TEST(PairRelay, TooManyUnansweredRequestsAreRefusedByName) {
  RelayBench bench(true, {.count_max = 1});
  bench.relay.engine_announced("e");
  for (const std::string id : {"q1", "q2"}) {
    bench.from_client({.identities = {"e"},
                       .header = R"({"msg_id": ")" + id + R"(", "msg_type": "apply_request"})"});
    bench.relay_requests();
  }
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  const auto reply = verify_message(*got, bench.signer);
  EXPECT_EQ(test::json_of(reply->parent()).at("msg_id"), "q2");
  EXPECT_EQ(test::json_of(reply->content()).at("ename"), "RuntimeError");
  // An engine that is gone frees its part, a moment later.
  bench.relay.engine_retired(bench.now, "e");
  bench.relay.engine_announced("f");
  bench.now = bench.now + seconds(3);
  bench.from_client(
      {.identities = {"f"}, .header = R"({"msg_id": "q3", "msg_type": "apply_request"})"});
  bench.relay_requests();
  EXPECT_EQ(std::get<RequestSeen>(bench.to_hub.back()).msg_id, "q3");
}

TEST(PairRelay, AHostileTypeCannotForgeTheReplysHeader) {
  RelayBench bench;
  bench.from_client(
      {.identities = {"x"},
       .header = R"({"msg_id": "q", "msg_type": "a\", \"msg_id\": \"forged\", \"x\": \""})"});
  bench.relay_requests();
  const auto got = test::receive(bench.client);
  ASSERT_TRUE(got);
  const Json header = test::json_of(verify_message(*got, bench.signer)->header());
  EXPECT_EQ(header.at("msg_id"), bench.session.last_msg_id());
}

TEST(PairRelay, ARequestWithoutAnEngineOrWithAWrongSignatureIsDropped) {
  RelayBench bench;
  bench.from_client({});
  bench.relay_requests();
  bench.client.send(test::wire_frames({.identities = {"e"}}, test::make_signer("wrong")));
  bench.relay_requests();
  ASSERT_EQ(bench.log.lines(LogLevel::warning).size(), 1U);
  EXPECT_EQ(bench.log.lines(LogLevel::warning, ": it names no engine").size(), 1U);
  EXPECT_EQ(bench.client.receive(), std::nullopt);
}

}  // namespace
}  // namespace ipf
