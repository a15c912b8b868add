#include "controller/client_routes.hpp"

#include <array>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "controller/recent_replies.hpp"
#include "unit/controller/controller_testing.hpp"
#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::make_frames;
using test::texts_of;
using Texts = std::vector<std::string>;

/// A router with its routes, and clients without names.
struct RoutesBench {
  RoutesBench() { port = router.bind(test::loopback, 0).value_or(0); }

  void turn() {
    const TimePoint real = steady_now();
    loop.wait(real, real + std::chrono::milliseconds(1));
    routes.look_around(now);
    router.flush();
  }
  Socket client() {
    const std::size_t before = router.connection_count();
    Socket socket(context, SocketKind::dealer, {.linger_ms = 0});
    test::connect_to(socket, port);
    EXPECT_TRUE(test::eventually([&] {
      turn();
      return router.connection_count() > before;
    }));
    return socket;
  }
  /// The client says something; its identity.
  std::string speak(Socket& socket, const std::string& session) {
    socket.send(make_frames({"hello"}));
    std::string identity;
    EXPECT_TRUE(test::eventually([&] {
      turn();
      const auto frames = router.receive();
      if (frames) {
        identity = (*frames)[0];
        routes.spoke(identity, session);
      }
      return frames.has_value();
    }));
    return identity;
  }
  void reply(const std::string& session, const std::string& text) {
    const std::array<std::string_view, 1> first{"engine"};
    routes.send_elsewhere(now, session, first, make_frames({text}), 0);
  }
  std::optional<Texts> got(Socket& socket, int turns = 50) {
    for (int i = 0; i < turns; ++i) {
      turn();
      if (const auto frames = socket.receive()) {
        return texts_of(*frames);
      }
    }
    return std::nullopt;
  }

  TimePoint now{1'000'000'000};
  NetContext context{};
  test::KeptLog log{};
  IoLoop loop{};
  ZmtpRouter router{loop, "bench", {}, log};
  ClientRoutes routes{router};
  int port{};
};

TEST(ClientRoutes, AReplyFollowsTheSessionToItsNewConnection) {
  RoutesBench bench;
  {
    Socket old = bench.client();
    bench.speak(old, "s");
  }
  EXPECT_TRUE(test::eventually([&] {
    bench.turn();
    return bench.router.connection_count() == 0;
  }));
  Socket now_here = bench.client();
  bench.speak(now_here, "s");
  bench.reply("s", "result");
  EXPECT_EQ(bench.got(now_here), (Texts{"engine", "result"}));
}

TEST(ClientRoutes, AClientThatOnlyWaitsGetsItsReplyToo) {
  RoutesBench bench;
  Socket waiting = bench.client();
  bench.reply("s", "result");
  EXPECT_EQ(bench.got(waiting), (Texts{"engine", "result"}));
}

TEST(ClientRoutes, ItGetsItOnlyOnceThoughItSpeaksLater) {
  RoutesBench bench;
  Socket waiting = bench.client();
  bench.reply("s", "result");
  EXPECT_TRUE(bench.got(waiting));
  bench.speak(waiting, "s");
  EXPECT_EQ(bench.got(waiting), std::nullopt) << "a second copy breaks an ipyparallel client";
}

TEST(ClientRoutes, AReplyWaitsForAClientThatIsNotBackYet) {
  RoutesBench bench;
  bench.reply("s", "result");
  Socket late = bench.client();
  EXPECT_EQ(bench.got(late), (Texts{"engine", "result"}));
}

TEST(ClientRoutes, NobodyElsesConnectionGetsItOnceItHasSpoken) {
  RoutesBench bench;
  Socket other = bench.client();
  bench.speak(other, "other");
  bench.reply("s", "secret");
  EXPECT_EQ(bench.got(other), std::nullopt);
}

TEST(ClientRoutes, AfterAMinuteAReplyIsGivenUp) {
  RoutesBench bench;
  bench.reply("s", "result");
  EXPECT_GT(bench.routes.kept_bytes(), 0U);
  bench.now = bench.now + ClientRoutes::keep_time;
  bench.turn();
  EXPECT_EQ(bench.routes.kept_bytes(), 0U);
  Socket late = bench.client();
  EXPECT_EQ(bench.got(late), std::nullopt);
}

TEST(RecentReplies, AreFoundUntilTheirTimeIsOver) {
  RecentReplies replies;
  const TimePoint now{1};
  replies.add(now, "a", make_frames({"A"}));
  replies.add(now, "a", make_frames({"A2"}));
  ASSERT_NE(replies.find("a"), nullptr);
  EXPECT_EQ(texts_of(*replies.find("a")), (Texts{"A2"}));
  EXPECT_EQ(replies.find("b"), nullptr);
  replies.expire(now + RecentReplies::keep_time);
  EXPECT_EQ(replies.find("a"), nullptr);
}

TEST(RecentReplies, TheOldestGoWhenThereAreTooManyBytes) {
  RecentReplies replies;
  const std::string big(std::size_t{100} << 20U, 'x');
  for (const char* name : {"a", "b", "c"}) {
    replies.add(TimePoint{1}, name, make_frames({big}));
  }
  EXPECT_EQ(replies.find("a"), nullptr);
  EXPECT_NE(replies.find("c"), nullptr);
}

}  // namespace
}  // namespace ipf
