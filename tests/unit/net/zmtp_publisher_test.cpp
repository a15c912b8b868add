#include "net/zmtp_publisher.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zmq.hpp>

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
  Bench() {
    port = publisher.bind(loopback, 0).value_or(0);
    engines_port = engines.bind(loopback, 0).value_or(0);
  }
  void turn() {
    const TimePoint now = steady_now();
    publisher.flush();
    engines.flush();
    loop.wait(now, now + std::chrono::milliseconds(5));
    subscribed += publisher.take_subscriptions();
  }

  ZmtpPublisher publisher{loop, "clients", {}, log};
  ZmtpRouter engines{loop, "engines", {.type = ZmtpType::sub}, log};
  int port{};
  int engines_port{};
  std::size_t subscribed{};
};

/// A libzmq SUB that subscribes to what it likes; Socket only knows everything.
class Subscriber {
 public:
  Subscriber(NetContext& context, int port) : socket_(context.get(), ZMQ_SUB) {
    socket_.connect(std::string(loopback) + ":" + std::to_string(port));
  }
  void subscribe(const std::string& topic) { socket_.set(zmq::sockopt::subscribe, topic); }
  void cancel(const std::string& topic) { socket_.set(zmq::sockopt::unsubscribe, topic); }
  /// The first frame of the next message, empty if there is none.
  std::string next() {
    zmq::message_t part;
    if (!socket_.recv(part, zmq::recv_flags::dontwait)) {
      return {};
    }
    std::string first = part.to_string();
    while (part.more()) {
      static_cast<void>(socket_.recv(part, zmq::recv_flags::none));
    }
    return first;
  }

 private:
  zmq::socket_t socket_;
};

TEST(ZmtpPublisher, EverySubscriberGetsEverythingThatItAskedFor) {
  Bench bench;
  Subscriber one(bench.context, bench.port);
  Subscriber two(bench.context, bench.port);
  one.subscribe("");
  two.subscribe("engine.1");
  ASSERT_TRUE(bench.until([&] { return bench.subscribed == 2; }));
  bench.publisher.publish(make_frames({"link", "engine.0.stdout", "x"}), 1);
  bench.publisher.publish(make_frames({"engine.1.stdout", "y"}), 0);
  Texts got_one;
  Texts got_two;
  ASSERT_TRUE(bench.until([&] {
    for (auto [from, to] : {std::pair{&one, &got_one}, {&two, &got_two}}) {
      if (auto text = from->next(); !text.empty()) {
        to->push_back(std::move(text));
      }
    }
    return got_one.size() == 2 && got_two.size() == 1;
  }));
  EXPECT_EQ(got_one, (Texts{"engine.0.stdout", "engine.1.stdout"}));
  EXPECT_EQ(got_two, (Texts{"engine.1.stdout"}));
}

TEST(ZmtpPublisher, ACancelledSubscriptionGetsNothing) {
  Bench bench;
  Subscriber sub(bench.context, bench.port);
  sub.subscribe("a");
  sub.subscribe("b");
  ASSERT_TRUE(bench.until([&] { return bench.subscribed == 2; }));
  sub.cancel("a");
  // The order that the peer sent goes before its next subscription.
  sub.subscribe("c");
  ASSERT_TRUE(bench.until([&] { return bench.subscribed == 3; }));
  bench.publisher.publish(make_frames({"a", "x"}), 0);
  bench.publisher.publish(make_frames({"b", "x"}), 0);
  std::string got;
  ASSERT_TRUE(bench.until([&] { return !(got = sub.next()).empty(); }));
  EXPECT_EQ(got, "b");
}

TEST(ZmtpPublisher, ASubscriberThatHasGoneIsForgotten) {
  Bench bench;
  {
    Subscriber sub(bench.context, bench.port);
    sub.subscribe("");
    ASSERT_TRUE(bench.until([&] { return bench.subscribed == 1; }));
  }
  ASSERT_TRUE(bench.until([&] { return bench.publisher.traffic().connections == 0; }));
  const auto before = bench.publisher.traffic().messages_out;
  bench.publisher.publish(make_frames({"a", "x"}), 0);
  EXPECT_EQ(bench.publisher.traffic().messages_out, before);
}

TEST(ZmtpPublisher, WhoDoesNotReadLosesMessagesAndKeepsItsConnection) {
  Bench bench;
  Subscriber deaf(bench.context, bench.port);
  deaf.subscribe("");
  ASSERT_TRUE(bench.until([&] { return bench.subscribed == 1; }));
  const auto large = make_frames({"a", std::string(1U << 20U, 'x')});
  // The loop does not turn, so nothing leaves.
  for (int i = 0; i < 200; ++i) {
    bench.publisher.publish(large, 0);
  }
  EXPECT_LE(bench.publisher.traffic().bytes_out, ZmtpPublisher::unsent_bytes_max + (2U << 20U));
  bench.publisher.flush();
  EXPECT_EQ(bench.publisher.traffic().connections, 1U);
  std::size_t got = 0;
  ASSERT_TRUE(bench.until([&] {
    got += deaf.next().empty() ? 0U : 1U;
    return got >= 64;
  }));
}

TEST(ZmtpRouter, ASubGetsWhatPublishersOfLibzmqSend) {
  Bench bench;
  Socket pub(bench.context, SocketKind::pub);
  connect_to(pub, bench.engines_port);
  std::optional<Frames> got;
  // A PUB drops what it sends before the subscription has reached it.
  ASSERT_TRUE(bench.until([&] {
    pub.send(make_frames({"engine.0.status", "x"}));
    return (got = bench.engines.receive()).has_value();
  }));
  EXPECT_EQ(got->size(), 3U);
  EXPECT_EQ((*got)[1], "engine.0.status");
}

}  // namespace
}  // namespace ipf
