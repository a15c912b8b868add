// Our sockets with CURVE, against libzmq's and against each other.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "net/zmtp_connector.hpp"
#include "net/zmtp_publisher.hpp"
#include "net/zmtp_router.hpp"
#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::loopback;
using test::LoopBench;
using test::make_frames;
using test::texts_of;
using Texts = std::vector<std::string>;

std::string url_of(int port) {
  return std::string(loopback) + ":" + std::to_string(port);
}

/// A server, and both kinds of clients, with keys that fit.
struct Bench : LoopBench<Bench> {
  Bench()
      : keys(make_curve_key_pair()),
        server(curve_server(keys).value()),
        client(curve_client(make_curve_key_pair(), keys.public_key).value()),
        connector(loop, {.curve = client}, log),
        router(loop, "router", {.identity = "in", .curve = server}, log),
        publisher(loop, "publisher", {.curve = server}, log),
        theirs(1, {.curve = server}),
        their_clients(1, {.curve = client}) {}

  void turn() {
    for (int i = 0; i < 2; ++i) {
      router.flush();
      connector.flush();
      publisher.flush();
      loop.wait(steady_now(), steady_now() + std::chrono::milliseconds(i == 0 ? 0 : 5));
      connector.check_deadlines(steady_now());
    }
  }
  template <class Socket>
  std::optional<Frames> next(Socket& socket) {
    until([&] { return socket.readable(); });
    return socket.receive();
  }
  template <class Socket>
  int bound(Socket& socket) {
    return socket.bind(loopback, 0).value_or(0);
  }

  CurveKeyPair keys;
  CurvePtr server;
  CurvePtr client;
  ZmtpConnector connector;
  ZmtpRouter router;
  ZmtpPublisher publisher;
  NetContext theirs;
  NetContext their_clients;
};

Texts parts_of_all_sizes() {
  return {"",
          "small",
          std::string(222, 'a'),
          std::string(223, 'b'),
          std::string(4063, 'c'),
          std::string(4064, 'p'),
          std::string(4097, 'l'),
          std::string(3'000'000, 'h'),
          ""};
}

Texts with_first(std::string first, Texts rest) {
  rest.insert(rest.begin(), std::move(first));
  return rest;
}

TEST(ZmtpCurve, LibzmqTalksWithOurRouter) {
  Bench bench;
  const int port = bench.bound(bench.router);
  Socket dealer(bench.their_clients, SocketKind::dealer, {.identity = "me", .dead_after_ms = 300});
  ASSERT_TRUE(dealer.connect(url_of(port)));
  const Texts parts = parts_of_all_sizes();
  ASSERT_EQ(dealer.send(make_frames(parts)), SendResult::sent);
  const auto got = bench.next(bench.router);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), with_first("me", parts));
  EXPECT_EQ(bench.router.send(*got), SendResult::sent);
  const auto back = bench.peer_receives(dealer);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), parts);
  // Its heartbeats are encrypted too; an unanswered one would end the connection.
  const TimePoint later = steady_now() + std::chrono::milliseconds(700);
  bench.until([&] { return steady_now() >= later; });
  EXPECT_TRUE(bench.router.has_peer("me"));
  EXPECT_EQ(bench.log.all, Texts{});
}

TEST(ZmtpCurve, OurConnectorTalksWithLibzmq) {
  Bench bench;
  Socket router(bench.theirs, SocketKind::router, {.identity = "in"});
  const int port = bench.bound(router);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", url_of(port), "me"));
  const Texts parts = parts_of_all_sizes();
  EXPECT_EQ(bench.connector.send(make_frames(with_first("task", parts))), SendResult::sent);
  const auto got = bench.peer_receives(router);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), with_first("me", parts));
  EXPECT_EQ(router.send(*got), SendResult::sent);
  const auto back = bench.next(bench.connector);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), with_first("task", parts));
}

TEST(ZmtpCurve, OurConnectorTalksWithOurRouter) {
  Bench bench;
  const int port = bench.bound(bench.router);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", url_of(port), "me"));
  const Texts parts = parts_of_all_sizes();
  EXPECT_EQ(bench.connector.send(make_frames(with_first("task", parts))), SendResult::sent);
  const auto got = bench.next(bench.router);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), with_first("me", parts));
  EXPECT_EQ(bench.router.send(*got), SendResult::sent);
  const auto back = bench.next(bench.connector);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), with_first("task", parts));
}

TEST(ZmtpCurve, SubscriptionsAndOutputsAreEncrypted) {
  Bench bench;
  const int port = bench.bound(bench.publisher);
  Socket theirs(bench.their_clients, SocketKind::sub);
  theirs.subscribe_all();
  ASSERT_TRUE(theirs.connect(url_of(port)));
  ASSERT_TRUE(bench.connector.connect(ZmtpType::sub, "iopub", url_of(port)));
  std::size_t subscriptions = 0;
  ASSERT_TRUE(
      bench.until([&] { return (subscriptions += bench.publisher.take_subscriptions()) == 2; }));
  bench.publisher.publish(make_frames({"engine.0", "text"}), 0);
  const auto got = bench.peer_receives(theirs);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"engine.0", "text"}));
  const auto ours = bench.next(bench.connector);
  ASSERT_TRUE(ours);
  EXPECT_EQ(texts_of(*ours), (Texts{"iopub", "engine.0", "text"}));
}

TEST(ZmtpCurve, APeerWithoutEncryptionIsRefused) {
  Bench bench;
  const int port = bench.bound(bench.router);
  ZmtpConnector plain(bench.loop, {}, bench.log);
  ASSERT_TRUE(plain.connect(ZmtpType::dealer, "task", url_of(port)));
  const auto said = [&](std::string_view text) {
    return std::ranges::any_of(bench.log.all, [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
  };
  EXPECT_TRUE(bench.until([&] { return said("wants the mechanism"); }));
  EXPECT_FALSE(plain.is_up("task"));
}

TEST(ZmtpCurve, AClientWithAnotherServerKeyIsRefused) {
  Bench bench;
  const int port = bench.bound(bench.router);
  const auto wrong = curve_client(make_curve_key_pair(), make_curve_key_pair().public_key);
  ZmtpConnector stranger(bench.loop, {.curve = wrong.value()}, bench.log);
  ASSERT_TRUE(stranger.connect(ZmtpType::dealer, "task", url_of(port)));
  EXPECT_TRUE(bench.until([&] {
    return std::ranges::any_of(bench.log.all, [](const std::string& line) {
      return line.find("wrong server key") != std::string::npos;
    });
  }));
  EXPECT_FALSE(stranger.is_up("task"));
}

}  // namespace
}  // namespace ipf
