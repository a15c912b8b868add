#include "net/zmtp_connector.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "net/zmtp_router.hpp"
#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::loopback;
using test::LoopBench;
using test::make_frames;
using test::patience;
using test::texts_of;
using Texts = std::vector<std::string>;

std::string url_of(int port) {
  return std::string(loopback) + ":" + std::to_string(port);
}

/// A Unix socket: unlike a port, nobody else takes it between two listeners.
class Place {
 public:
  Place() {
    static int number = 0;
    path_ = (std::filesystem::temp_directory_path() /
             ("ipf-connector-" + std::to_string(getpid()) + "-" + std::to_string(number++)))
                .string();
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { std::filesystem::remove(path_ + ":1"); }
  [[nodiscard]] std::string url() const { return "ipc://" + path_ + ":1"; }
  /// libzmq's thread may take a moment to leave it.
  [[nodiscard]] bool listen(Socket& socket) const {
    const TimePoint deadline = steady_now() + patience;
    while (steady_now() < deadline) {
      if (socket.bind("ipc://" + path_, 1)) {
        return true;
      }
    }
    return false;
  }

 private:
  std::string path_;
};

struct Bench : LoopBench<Bench> {
  explicit Bench(const ZmtpConnector::Options& options = {}) : connector(loop, options, log) {}

  void turn() {
    const TimePoint now = steady_now();
    connector.flush();
    loop.wait(now, std::min(now + std::chrono::milliseconds(5), connector.next_deadline()));
    connector.check_deadlines(steady_now());
    connector.flush();
  }
  std::optional<Frames> next() {
    until([&] { return connector.readable(); });
    return connector.receive();
  }
  static int bound(Socket& socket) { return socket.bind(loopback, 0).value_or(0); }

  Texts changes() {
    Texts out;
    for (const auto& change : connector.take_changes()) {
      out.push_back(change.name + (change.up ? " up" : " down"));
    }
    return out;
  }

  ZmtpConnector connector;
};

TEST(ZmtpConnector, ADealerTalksWithARouterAboutFramesOfAllSizes) {
  Bench bench;
  Socket router(bench.context, SocketKind::router, {.identity = "in"});
  const int port = bench.bound(router);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", url_of(port), "me"));
  const Texts parts{"",
                    "small",
                    std::string(255, 'a'),
                    std::string(256, 'b'),
                    std::string(4096, 'p'),
                    std::string(4097, 'l'),
                    std::string(3'000'000, 'h'),
                    ""};
  Texts named = parts;
  named.insert(named.begin(), "task");
  EXPECT_EQ(bench.connector.send(make_frames(named)), SendResult::sent);
  const auto got = bench.peer_receives(router);
  ASSERT_TRUE(got);
  Texts expected = parts;
  expected.insert(expected.begin(), "me");
  EXPECT_EQ(texts_of(*got), expected);
  EXPECT_EQ(router.send(*got), SendResult::sent);
  const auto back = bench.next();
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), named);
}

TEST(ZmtpConnector, ARouterIsKnownByItsIdentity) {
  Bench bench;
  Socket router(bench.context, SocketKind::router, {.identity = "in", .mandatory = true});
  const int port = bench.bound(router);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::router, "mux", url_of(port), "uuid"));
  ASSERT_TRUE(bench.until(
      [&] { return router.send(make_frames({"uuid", "client", "x"})) == SendResult::sent; }));
  const auto got = bench.next();
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"mux", "client", "x"}));
  EXPECT_EQ(bench.connector.send(*got), SendResult::sent);
  const auto back = bench.peer_receives(router);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), (Texts{"uuid", "client", "x"}));
}

TEST(ZmtpConnector, APublisherReachesASubscriber) {
  Bench bench;
  Socket sub(bench.context, SocketKind::sub);
  sub.subscribe_all();
  const int port = bench.bound(sub);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::pub, "iopub", url_of(port)));
  ASSERT_TRUE(bench.until([&] { return bench.connector.is_up("iopub"); }));
  EXPECT_EQ(bench.connector.send(make_frames({"iopub", "topic", "x"})), SendResult::sent);
  const auto got = bench.peer_receives(sub);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"topic", "x"}));
  EXPECT_FALSE(bench.connector.readable()) << "a subscription is no message";
}

TEST(ZmtpConnector, ASubscriberGetsEverything) {
  Bench bench;
  Socket pub(bench.context, SocketKind::xpub, {.verbose = true});
  const int port = bench.bound(pub);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::sub, "notification", url_of(port)));
  const auto subscription = bench.peer_receives(pub);
  ASSERT_TRUE(subscription);
  EXPECT_EQ(texts_of(*subscription), (Texts{"\1"}));
  pub.send(make_frames({"registration_notification", "x"}));
  const auto got = bench.next();
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"notification", "registration_notification", "x"}));
}

TEST(ZmtpConnector, TalksWithOurOwnRouter) {
  Bench bench;
  ZmtpRouter router(bench.loop, "bench", {.identity = "in"}, bench.log);
  const auto port = router.bind(loopback, 0);
  ASSERT_TRUE(port);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "a", url_of(*port), "first"));
  ASSERT_TRUE(bench.connector.connect(ZmtpType::router, "b", url_of(*port), "second"));
  bench.connector.send(make_frames({"b", "x"}));
  std::optional<Frames> got;
  ASSERT_TRUE(bench.until([&] { return (got = router.receive()).has_value(); }));
  EXPECT_EQ(texts_of(*got), (Texts{"second", "x"}));
  router.send(make_frames({"first", "y"}));
  router.flush();
  const auto back = bench.next();
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), (Texts{"a", "y"}));
}

TEST(ZmtpConnector, WhatIsSentBeforeAnybodyListensArrivesInOrder) {
  Bench bench;
  const Place place;
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", place.url(), "me"));
  for (const auto* text : {"1", "2", "3"}) {
    EXPECT_EQ(bench.connector.send(make_frames({"task", text})), SendResult::sent);
  }
  EXPECT_FALSE(bench.connector.is_up("task"));
  Socket router(bench.context, SocketKind::router, {.linger_ms = 0});
  ASSERT_TRUE(place.listen(router));
  for (const auto* text : {"1", "2", "3"}) {
    const auto got = bench.peer_receives(router);
    ASSERT_TRUE(got);
    EXPECT_EQ(texts_of(*got), (Texts{"me", text}));
  }
  EXPECT_EQ(bench.changes(), (Texts{"task up"}));
  EXPECT_TRUE(bench.changes().empty());
}

TEST(ZmtpConnector, ALinkThatBreaksIsMadeAgain) {
  Bench bench;
  const Place place;
  {
    Socket router(bench.context, SocketKind::router, {.linger_ms = 0});
    ASSERT_TRUE(place.listen(router));
    ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", place.url(), "me"));
    bench.connector.send(make_frames({"task", "before"}));
    ASSERT_TRUE(bench.peer_receives(router));
  }
  ASSERT_TRUE(bench.until([&] { return !bench.connector.is_up("task"); }));
  EXPECT_EQ(bench.changes(), (Texts{"task up", "task down"}));
  Socket again(bench.context, SocketKind::router, {.linger_ms = 0});
  ASSERT_TRUE(place.listen(again));
  bench.connector.send(make_frames({"task", "after"}));
  const auto got = bench.peer_receives(again);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"me", "after"}));
  EXPECT_EQ(bench.changes(), (Texts{"task up"}));
}

TEST(ZmtpConnector, APeerThatAnswersNoProbeIsGivenUpAndSoughtAgain) {
  constexpr Duration interval = std::chrono::milliseconds(20);
  Bench bench({.probe_interval = interval, .proof_time = 2 * interval});
  IoLoop elsewhere;  // the peer lives only while this loop is turned
  ZmtpRouter peer(elsewhere, "peer", {}, bench.log);
  const auto port = peer.bind(loopback, 0);
  ASSERT_TRUE(port);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", url_of(*port), "me"));
  const auto both_turn = [&] {
    elsewhere.wait(steady_now(), steady_now());
    peer.flush();
    return false;
  };
  ASSERT_TRUE(bench.until([&] { return both_turn() || bench.connector.is_up("task"); }));
  const TimePoint answered_until = steady_now() + 10 * interval;
  ASSERT_TRUE(bench.until([&] { return both_turn() || steady_now() >= answered_until; }));
  EXPECT_EQ(bench.changes(), Texts{"task up"}) << "it answered";
  ASSERT_TRUE(bench.until([&] { return !bench.connector.is_up("task"); }));
  EXPECT_EQ(bench.changes(), Texts{"task down"});
  ASSERT_TRUE(bench.until([&] { return both_turn() || bench.connector.is_up("task"); }));
}

TEST(ZmtpConnector, WhatWaitsForALinkIsBounded) {
  Bench bench({.held_bytes_max = 100});
  const Place place;
  ASSERT_TRUE(bench.connector.connect(ZmtpType::dealer, "task", place.url()));
  EXPECT_EQ(bench.connector.send(make_frames({"task", std::string(90, 'x')})), SendResult::sent);
  EXPECT_EQ(bench.connector.send(make_frames({"task", "yyy"})), SendResult::failed);
}

TEST(ZmtpConnector, APeerOfTheWrongTypeIsLeftAlone) {
  Bench bench;
  ZmtpRouter router(bench.loop, "bench", {.identity = "in"}, bench.log);
  const auto port = router.bind(loopback, 0);
  ASSERT_TRUE(port);
  ASSERT_TRUE(bench.connector.connect(ZmtpType::sub, "iopub", url_of(*port)));
  ASSERT_TRUE(bench.until([&] {
    return std::ranges::any_of(bench.log.all, [](const auto& line) {
      return line.find("a ROUTER socket cannot talk to a SUB") != std::string::npos;
    });
  }));
  EXPECT_FALSE(bench.connector.is_up("iopub"));
}

TEST(ZmtpConnector, AddressesThatCannotBeAreErrors) {
  Bench bench;
  for (const auto* url : {"udp://127.0.0.1:1", "tcp://127.0.0.1", "tcp://127.0.0.1:no-port"}) {
    const auto result = bench.connector.connect(ZmtpType::dealer, "task", url);
    ASSERT_FALSE(result) << url;
    EXPECT_NE(result.error().message.find(url), std::string::npos) << result.error().message;
  }
}

TEST(ZmtpConnector, UnknownLinksAreUnroutable) {
  Bench bench;
  EXPECT_EQ(bench.connector.send(make_frames({"nobody", "x"})), SendResult::unroutable);
}

TEST(ZmtpConnector, LingerWaitsUntilEverythingHasLeft) {
  Bench bench;
  Socket router(bench.context, SocketKind::router, {.identity = "in"});
  const int port = bench.bound(router);
  const std::string large(20'000'000, 'h');
  {
    ZmtpConnector short_lived(bench.loop, {}, bench.log);
    ASSERT_TRUE(short_lived.connect(ZmtpType::dealer, "task", url_of(port), "me"));
    ASSERT_TRUE(bench.until([&] { return short_lived.is_up("task"); }));
    short_lived.send(make_frames({"task", large}));
    short_lived.linger(patience);
  }
  const auto got = bench.peer_receives(router);
  ASSERT_TRUE(got);
  EXPECT_EQ((*got)[1].size(), large.size());
}

}  // namespace
}  // namespace ipf
