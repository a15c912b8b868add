#include "net/socket.hpp"

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/net/net_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::bind_any;
using test::connect_to;
using test::make_frames;
using test::receive;
using test::texts_of;

using Texts = std::vector<std::string>;

TEST(Socket, AMessageOfAllSizesArrivesWhole) {
  NetContext context;
  Socket router(context, SocketKind::router);
  Socket dealer(context, SocketKind::dealer, {.identity = "me"});
  connect_to(dealer, bind_any(router));
  const Texts parts{"",
                    "small",
                    std::string(Frames::packed_frame_max, 'p'),
                    std::string(Frames::packed_frame_max + 1, 'l'),
                    std::string(3'000'000, 'h'),
                    ""};
  EXPECT_EQ(dealer.send(make_frames(parts)), SendResult::sent);
  const auto got = receive(router);
  ASSERT_TRUE(got);
  Texts expected = parts;
  expected.insert(expected.begin(), "me");
  EXPECT_EQ(texts_of(*got), expected);
  EXPECT_EQ(router.send(*got), SendResult::sent);
  const auto back = receive(dealer);
  ASSERT_TRUE(back);
  EXPECT_EQ(texts_of(*back), parts);
}

TEST(Socket, ReceiveGivesNothingWhenThereIsNothing) {
  NetContext context;
  Socket router(context, SocketKind::router);
  bind_any(router);
  EXPECT_EQ(router.receive(), std::nullopt);
}

TEST(Socket, FirstFramesAndATailMakeOneMessage) {
  NetContext context;
  Socket router(context, SocketKind::router);
  Socket dealer(context, SocketKind::dealer);
  connect_to(dealer, bind_any(router));
  const std::array<std::string_view, 2> first{"a", "b"};
  const Frames rest = make_frames({"skipped", "c", "d"});
  dealer.send(first, rest, 1);
  dealer.send(first, rest, 3);  // no tail
  dealer.send({}, rest, 2);     // no first frames
  for (const Texts& expected : {Texts{"a", "b", "c", "d"}, Texts{"a", "b"}, Texts{"d"}}) {
    const auto got = receive(router);
    ASSERT_TRUE(got);
    Texts texts = texts_of(*got);
    texts.erase(texts.begin());
    EXPECT_EQ(texts, expected);
  }
}

TEST(Socket, ALargeFrameIsHandedOverWithoutACopyAndReleasedOnce) {
  const auto bytes = std::make_shared<const std::string>(1'000'000, 'x');
  const auto send_to = [&](Socket& socket) {
    FramesBuilder builder;
    builder.add(SharedBytes{bytes, *bytes});
    socket.send(builder.finish());
  };
  {
    NetContext context;
    Socket waiting(context, SocketKind::dealer, {.linger_ms = 0});
    test::connect_to(waiting, 1);  // nobody listens: the message stays in the queue
    send_to(waiting);
    EXPECT_EQ(bytes.use_count(), 2) << "the queue holds the bytes themselves";
    Socket router(context, SocketKind::router);
    Socket dealer(context, SocketKind::dealer);
    connect_to(dealer, bind_any(router));
    send_to(dealer);
    const auto got = receive(router);
    ASSERT_TRUE(got);
    EXPECT_EQ((*got)[1], *bytes);
    EXPECT_FALSE(got->is_packed(1)) << "a large frame stays in libzmq's buffer";
  }
  EXPECT_EQ(bytes.use_count(), 1);  // the context is gone, and with it libzmq's thread
}

TEST(Socket, WhatWasReceivedOutlivesTheSocket) {
  std::optional<Frames> kept;
  {
    NetContext context;
    Socket router(context, SocketKind::router);
    Socket dealer(context, SocketKind::dealer);
    connect_to(dealer, bind_any(router));
    dealer.send(make_frames({"small", std::string(100'000, 'l')}));
    kept = receive(router);
  }
  ASSERT_TRUE(kept);
  EXPECT_EQ((*kept)[1], "small");
  EXPECT_EQ((*kept)[2], std::string(100'000, 'l'));
}

TEST(Socket, AMandatoryRouterReportsAnUnknownDestination) {
  NetContext context;
  Socket mandatory(context, SocketKind::router, {.mandatory = true});
  Socket silent(context, SocketKind::router);
  bind_any(mandatory);
  bind_any(silent);
  EXPECT_EQ(mandatory.send(make_frames({"nobody", "x"})), SendResult::unroutable);
  EXPECT_EQ(silent.send(make_frames({"nobody", "x"})), SendResult::sent);
}

TEST(Socket, AfterAnUnroutableMessageTheNextOneIsWhole) {
  NetContext context;
  Socket router(context, SocketKind::router, {.mandatory = true});
  Socket dealer(context, SocketKind::dealer, {.identity = "me"});
  connect_to(dealer, bind_any(router));
  dealer.send(make_frames({"hello"}));
  ASSERT_TRUE(receive(router));
  EXPECT_EQ(router.send(make_frames({"nobody", "1", "2"})), SendResult::unroutable);
  EXPECT_EQ(router.send(make_frames({"me", "3"})), SendResult::sent);
  const auto got = receive(dealer);
  ASSERT_TRUE(got);
  EXPECT_EQ(texts_of(*got), Texts{"3"});
}

TEST(Socket, WithHandoverAReconnectedPeerTakesItsIdentityOver) {
  NetContext context;
  Socket router(context, SocketKind::router, {.mandatory = true, .handover = true});
  const int port = bind_any(router);
  Socket first(context, SocketKind::dealer, {.identity = "engine"});
  connect_to(first, port);
  first.send(make_frames({"first"}));
  ASSERT_TRUE(receive(router));
  Socket second(context, SocketKind::dealer, {.identity = "engine"});
  connect_to(second, port);
  second.send(make_frames({"second"}));
  ASSERT_TRUE(receive(router));
  EXPECT_EQ(router.send(make_frames({"engine", "answer"})), SendResult::sent);
  EXPECT_TRUE(receive(second));
}

TEST(Socket, NoHighWaterMarkLosesMessages) {
  NetContext context;
  Socket router(context, SocketKind::router);
  Socket dealer(context, SocketKind::dealer);
  connect_to(dealer, bind_any(router));
  constexpr int count = 5000;  // libzmq's own default is 1000
  for (int i = 0; i < count; ++i) {
    ASSERT_EQ(dealer.send(make_frames({std::to_string(i)})), SendResult::sent);
  }
  for (int i = 0; i < count; ++i) {
    const auto got = receive(router);
    ASSERT_TRUE(got);
    ASSERT_EQ((*got)[1], std::to_string(i));
  }
}

TEST(Socket, AnXpubTellsOfEachSubscriptionAndReachesIt) {
  NetContext context;
  Socket pub(context, SocketKind::xpub, {.verbose = true});
  const int port = bind_any(pub);
  std::vector<std::unique_ptr<Socket>> subscribers;
  for (int i = 0; i < 2; ++i) {
    subscribers.push_back(std::make_unique<Socket>(context, SocketKind::sub));
    subscribers.back()->subscribe_all();
    connect_to(*subscribers.back(), port);
    const auto subscription = receive(pub);
    ASSERT_TRUE(subscription) << i;
    EXPECT_EQ(texts_of(*subscription), Texts{"\1"});
  }
  EXPECT_EQ(pub.send_text("ping"), SendResult::sent);
  for (const auto& subscriber : subscribers) {
    const auto got = receive(*subscriber);
    ASSERT_TRUE(got);
    EXPECT_EQ(texts_of(*got), Texts{"ping"});
  }
}

TEST(Socket, APortInUseIsNamed) {
  NetContext context;
  Socket one(context, SocketKind::router);
  Socket two(context, SocketKind::router);
  const int port = bind_any(one);
  EXPECT_GT(port, 0);
  const auto bound = two.bind(test::loopback, port);
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().code, ErrorCode::unavailable);
  EXPECT_NE(bound.error().message.find(":" + std::to_string(port)), std::string::npos);
}

TEST(Socket, WrongAddressesAreErrors) {
  NetContext context;
  Socket socket(context, SocketKind::dealer);
  EXPECT_FALSE(socket.bind("nonsense://127.0.0.1", 0));
  EXPECT_FALSE(socket.bind("tcp://192.0.2.7", 0));
  EXPECT_FALSE(socket.connect("nonsense"));
}

}  // namespace
}  // namespace ipf
