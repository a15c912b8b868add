#include "net/zmtp_router.hpp"

#include <arpa/inet.h>
#include <array>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::connect_to;
using test::loopback;
using test::LoopBench;
using test::make_frames;
using test::patience;
using test::texts_of;
using Texts = std::vector<std::string>;

struct Bench : LoopBench<Bench> {
  explicit Bench(const ZmtpRouter::Options& options = {.identity = "in"})
      : router(loop, "bench", options, log) {
    const auto bound = router.bind(loopback, 0);
    EXPECT_TRUE(bound);
    port = bound.value_or(0);
  }

  void turn(Duration longest = std::chrono::milliseconds(10)) {
    const TimePoint now = steady_now();
    loop.wait(now, std::min(now + longest, router.next_deadline()));
    router.check_deadlines(steady_now());
    router.flush();
  }

  std::optional<Frames> next() {
    until([&] { return router.readable(); });
    return router.receive();
  }

  ZmtpRouter router;
  int port{};
};

/// A TCP connection that says what it likes.
class Raw {
 public:
  explicit Raw(int port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;
  ~Raw() { close(fd_); }
  void say(std::string_view bytes) const {
    EXPECT_EQ(send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  /// Everything that came was read, and the other side closed.
  [[nodiscard]] bool closed() const {
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    while ((got = recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
    }
    return got == 0 || errno == ECONNRESET;
  }

 private:
  int fd_;
};

TEST(ZmtpRouter, TalksWithADealerAboutFramesOfAllSizes) {
  Bench bench;
  Socket dealer(bench.context, SocketKind::dealer, {.identity = "me"});
  connect_to(dealer, bench.port);
  const Texts parts{"",
                    "small",
                    std::string(255, 'a'),
                    std::string(256, 'b'),
                    std::string(4096, 'p'),
                    std::string(4097, 'l'),
                    std::string(3'000'000, 'h'),
                    ""};
  EXPECT_EQ(dealer.send(make_frames(parts)), SendResult::sent);
  const auto got = bench.next();
  ASSERT_TRUE(got);
  Texts expected = parts;
  expected.insert(expected.begin(), "me");
  EXPECT_EQ(texts_of(*got), expected);
  EXPECT_EQ(bench.router.send(*got), SendResult::sent);
  const auto back = bench.peer_receives(dealer);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), parts);
}

TEST(ZmtpRouter, ARouterThatConnectsCallsItByItsIdentity) {
  Bench bench;
  Socket engine(bench.context, SocketKind::router, {.identity = "uuid"});
  connect_to(engine, bench.port);
  EXPECT_TRUE(bench.until([&] {
    const std::array<std::string_view, 2> route{"uuid", "client"};
    return bench.router.send(route, make_frames({"x", "task"}), 1) == SendResult::sent;
  }));
  const auto task = bench.peer_receives(engine);
  ASSERT_TRUE(task);
  EXPECT_EQ(texts_of(*task), (Texts{"in", "client", "task"}));
  EXPECT_EQ(engine.send(*task), SendResult::sent);
  const auto reply = bench.next();
  ASSERT_TRUE(reply);
  EXPECT_EQ(texts_of(*reply), (Texts{"uuid", "client", "task"}));
}

TEST(ZmtpRouter, PeersWithoutANameGetDifferentOnes) {
  Bench bench;
  Socket one(bench.context, SocketKind::dealer);
  Socket two(bench.context, SocketKind::dealer);
  connect_to(one, bench.port);
  connect_to(two, bench.port);
  one.send(make_frames({"1"}));
  two.send(make_frames({"2"}));
  const auto first = bench.next();
  const auto second = bench.next();
  ASSERT_TRUE(first && second);
  EXPECT_NE((*first)[0], (*second)[0]);
  EXPECT_EQ((*first)[0].size(), 5U);
  EXPECT_TRUE(bench.router.peer_address((*first)[0]).starts_with("127.0.0.1:"));
}

TEST(ZmtpRouter, NobodyThereIsUnroutable) {
  Bench bench;
  EXPECT_EQ(bench.router.send(make_frames({"nobody", "x"})), SendResult::unroutable);
}

TEST(ZmtpRouter, AnIdentityThatIsTakenStaysWithTheFirst) {
  Bench bench;
  Socket first(bench.context, SocketKind::dealer, {.identity = "e"});
  connect_to(first, bench.port);
  first.send(make_frames({"hello"}));
  ASSERT_TRUE(bench.next());
  {
    Socket thief(bench.context, SocketKind::dealer, {.identity = "e", .linger_ms = 0});
    connect_to(thief, bench.port);
    thief.send(make_frames({"mine"}));
    EXPECT_TRUE(bench.until([&] { return !bench.log.all.empty(); }));
    EXPECT_FALSE(bench.router.readable());
    bench.router.send(make_frames({"e", "secret"}));
    const auto got = bench.peer_receives(first);
    ASSERT_TRUE(got);
    EXPECT_EQ(texts_of(*got), (Texts{"secret"}));
    EXPECT_EQ(thief.receive(), std::nullopt);
  }
}

TEST(ZmtpRouter, AnIdentityComesBackAfterItsConnectionEnded) {
  Bench bench;
  for (int i = 0; i < 3; ++i) {
    {
      Socket engine(bench.context, SocketKind::dealer, {.identity = "e"});
      connect_to(engine, bench.port);
      engine.send(make_frames({"hello"}));
      EXPECT_TRUE(bench.next());
    }
    EXPECT_TRUE(bench.until([&] { return bench.router.connection_count() == 0; }));
  }
}

TEST(ZmtpRouter, ADeadConnectionLosesItsIdentityToTheNextOne) {
  Bench bench;
  Raw dead(bench.port);  // says hello and never answers anything
  const ZmtpSession::Options options{.type = ZmtpType::dealer, .identity = "e"};
  dead.say(ZmtpSession(options).hello());
  EXPECT_TRUE(bench.until([&] { return !bench.router.peer_address("e").empty(); }));
  Socket engine(bench.context, SocketKind::router, {.identity = "e"});
  connect_to(engine, bench.port);
  EXPECT_TRUE(bench.until([&] { return dead.closed(); }));
  EXPECT_TRUE(bench.until([&] { return !bench.router.peer_address("e").empty(); }));
  EXPECT_EQ(bench.router.send(make_frames({"e", "task"})), SendResult::sent);
  const auto task = bench.peer_receives(engine);
  ASSERT_TRUE(task);
  EXPECT_EQ(texts_of(*task), (Texts{"in", "task"}));
}

TEST(ZmtpRouter, AClaimantGetsTheIdentityWhenTheHolderGoes) {
  Bench bench;
  const ZmtpSession::Options options{.type = ZmtpType::dealer, .identity = "e"};
  auto holder = std::make_unique<Raw>(bench.port);
  holder->say(ZmtpSession(options).hello());
  EXPECT_TRUE(bench.until([&] { return !bench.router.peer_address("e").empty(); }));
  Socket next(bench.context, SocketKind::dealer, {.identity = "e"});
  connect_to(next, bench.port);
  next.send(make_frames({"kept meanwhile"}));
  EXPECT_TRUE(bench.until([&] { return bench.router.connection_count() == 2; }));
  bench.turn(std::chrono::milliseconds(50));
  EXPECT_FALSE(bench.router.readable());
  holder.reset();
  const auto got = bench.next();
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), (Texts{"e", "kept meanwhile"}));
}

TEST(ZmtpRouter, GarbageIsDisconnectedAndOthersAreServed) {
  Bench bench;
  Raw http(bench.port);
  http.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  Raw silent(bench.port);
  EXPECT_TRUE(bench.until([&] { return http.closed(); }));
  Socket dealer(bench.context, SocketKind::dealer);
  connect_to(dealer, bench.port);
  dealer.send(make_frames({"x"}));
  EXPECT_TRUE(bench.next());
  EXPECT_FALSE(silent.closed());
}

TEST(ZmtpRouter, AHandshakeThatNeverEndsIsCut) {
  Bench bench({.identity = "in", .handshake_time = std::chrono::milliseconds(50)});
  Raw silent(bench.port);
  Raw slow(bench.port);
  slow.say("\xff");
  Socket dealer(bench.context, SocketKind::dealer);
  connect_to(dealer, bench.port);
  dealer.send(make_frames({"x"}));
  EXPECT_TRUE(bench.until([&] { return silent.closed() && slow.closed(); }));
  EXPECT_TRUE(bench.next()) << "a peer that is through stays";
  EXPECT_EQ(bench.router.connection_count(), 1U);
}

TEST(ZmtpRouter, APeerThatDoesNotReadIsCutAtItsLimit) {
  Bench bench({.identity = "in", .unsent_bytes_max = 8'000'000});
  const std::string big(1'000'000, 'x');
  Raw lazy(bench.port);
  const ZmtpSession::Options options{.type = ZmtpType::dealer, .identity = "lazy"};
  lazy.say(ZmtpSession(options).hello());
  EXPECT_TRUE(bench.until([&] { return !bench.router.peer_address("lazy").empty(); }));
  const Frames message = make_frames({"lazy", big});
  EXPECT_TRUE(bench.until([&] { return bench.router.send(message) == SendResult::unroutable; }));
  EXPECT_EQ(bench.router.connection_count(), 0U);
}

TEST(ZmtpRouter, WithoutFileDescriptorsItPausesAndGoesOnLater) {
  Bench bench;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  std::vector<std::unique_ptr<Raw>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(std::make_unique<Raw>(bench.port));
  }
  const rlimit none{.rlim_cur = 3, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  EXPECT_TRUE(bench.until([&] { return !bench.log.all.empty(); }));
  EXPECT_EQ(bench.router.connection_count(), 0U);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(bench.until([&] { return bench.router.connection_count() == 3; }));
  EXPECT_EQ(bench.log.all.size(), 1U) << bench.log.all.back();
}

TEST(ZmtpRouter, WhileReadingIsPausedThePeerHasToWait) {
  Bench bench;
  Socket dealer(bench.context, SocketKind::dealer, {.identity = "d"});
  connect_to(dealer, bench.port);
  dealer.send(make_frames({"1"}));
  ASSERT_TRUE(bench.next());
  bench.router.pause_reading(true);
  dealer.send(make_frames({"2"}));
  bench.turn(std::chrono::milliseconds(50));
  bench.turn(std::chrono::milliseconds(50));
  EXPECT_FALSE(bench.router.readable());
  EXPECT_EQ(bench.router.send(make_frames({"d", "result"})), SendResult::sent);
  EXPECT_TRUE(bench.peer_receives(dealer)) << "results still go out";
  bench.router.pause_reading(false);
  EXPECT_TRUE(bench.next());
}

TEST(ZmtpRouter, APortInUseIsNamed) {
  Bench bench;
  ZmtpRouter second(bench.loop, "second", {}, bench.log);
  const auto bound = second.bind(loopback, bench.port);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::unavailable);
  EXPECT_NE(bound.error().message.find(std::to_string(bench.port)), std::string::npos);
}

TEST(ZmtpRouter, TenThousandMessagesKeepTheirOrder) {
  Bench bench;
  Socket dealer(bench.context, SocketKind::dealer);
  connect_to(dealer, bench.port);
  constexpr int count = 10'000;
  for (int i = 0; i < count; ++i) {
    dealer.send(make_frames({std::to_string(i)}));
  }
  for (int i = 0; i < count; ++i) {
    const auto got = bench.next();
    ASSERT_TRUE(got);
    ASSERT_EQ((*got)[1], std::to_string(i));
    bench.router.send(*got);
  }
  for (int i = 0; i < count; ++i) {
    const auto back = bench.peer_receives(dealer);
    ASSERT_TRUE(back);
    ASSERT_EQ((*back)[0], std::to_string(i));
  }
}

}  // namespace
}  // namespace ipf
