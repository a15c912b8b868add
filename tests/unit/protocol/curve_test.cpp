#include "protocol/curve.hpp"

#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/zmtp_session.hpp"

namespace ipf {
namespace {

using namespace std::string_view_literals;
constexpr std::string_view metadata = "\x0bSocket-Type\0\0\0\6DEALER"sv;

/// Both ends of a connection, with keys of their own.
struct Pair {
  explicit Pair(std::string_view server_key = {})
      : keys(make_curve_key_pair()),
        server(curve_server(keys).value()),
        client(
            curve_client(make_curve_key_pair(), server_key.empty() ? keys.public_key : server_key)
                .value()) {}

  /// The four commands of the handshake; false when a side refuses.
  bool shake_hands() {
    const auto welcome = server.take(client.hello(), metadata);
    if (!welcome) {
      return false;
    }
    const auto initiate = client.take(welcome->answer, metadata);
    const auto ready = initiate ? server.take(initiate->answer, metadata) : initiate;
    const auto done = ready ? client.take(ready->answer, metadata) : ready;
    return done && ready->metadata == metadata && done->metadata == metadata;
  }
  static std::string sealed(CurveSession& by, std::string_view payload, unsigned char flags = 0) {
    std::string body(payload.size() + CurveSession::overhead, '\0');
    by.seal(payload, flags, body);
    return body;
  }

  CurveKeyPair keys;
  CurveSession server;
  CurveSession client;
};

TEST(Z85, KnowsTheExampleOfItsSpecification) {
  const std::string bytes("\x86\x4f\xd2\x6f\xb5\x59\xf7\x5b", 8);
  EXPECT_EQ(z85_encode(bytes), "HelloWorld");
  EXPECT_EQ(z85_decode("HelloWorld"), bytes);
  EXPECT_EQ(z85_decode("Hello"), bytes.substr(0, 4));
  for (const char* text : {"Hell", "Hello~orld", "#####"}) {
    EXPECT_EQ(z85_decode(text), std::nullopt) << text;
  }
}

TEST(Curve, KeysAreChecked) {
  const auto keys = make_curve_key_pair();
  const auto other = make_curve_key_pair();
  EXPECT_EQ(curve_public_key(keys.secret_key).value_or(""), keys.public_key);
  EXPECT_TRUE(curve_server(keys));
  const auto mixed = curve_server({other.public_key, keys.secret_key});
  ASSERT_FALSE(mixed);
  EXPECT_EQ(mixed.error().message.find(keys.secret_key), std::string::npos);
  EXPECT_FALSE(curve_server({keys.public_key, "short"}));
  EXPECT_FALSE(curve_client(keys, "short"));
}

TEST(Curve, BothSidesUnderstandEachOther) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  for (const std::size_t size : {0UL, 1UL, 100000UL}) {
    const std::string payload(size, 'y');
    std::string body = Pair::sealed(pair.client, payload, CurveSession::flag_more);
    EXPECT_EQ(pair.server.open(body).value_or(9), CurveSession::flag_more);
    EXPECT_EQ(body.substr(CurveSession::overhead), payload);
    body = Pair::sealed(pair.server, payload);
    EXPECT_EQ(pair.client.open(body).value_or(9), 0);
    EXPECT_EQ(body.substr(CurveSession::overhead), payload);
  }
}

TEST(Curve, AClientWithAnotherServerKeyIsRefused) {
  Pair pair(make_curve_key_pair().public_key);
  const auto welcome = pair.server.take(pair.client.hello(), metadata);
  ASSERT_FALSE(welcome);
  EXPECT_NE(welcome.error().message.find("wrong server key"), std::string::npos);
}

TEST(Curve, AServerWithoutTheKeyIsRefused) {
  // It answers with keys of its own, whatever the client asked for.
  Pair pair;
  const Pair impostor;
  const std::string hello = pair.client.hello();
  CurveSession other(curve_server(impostor.keys).value());
  CurveSession client(curve_client(make_curve_key_pair(), impostor.keys.public_key).value());
  const auto welcome = other.take(client.hello(), metadata);
  ASSERT_TRUE(welcome);
  EXPECT_FALSE(pair.client.take(welcome->answer, metadata));
}

TEST(Curve, EveryChangedByteOfTheHandshakeIsNoticed) {
  for (int step = 0; step < 4; ++step) {
    for (std::size_t at = 0;; at += 7) {
      Pair pair;
      std::string command = pair.client.hello();
      CurveSession* to = &pair.server;
      CurveSession* from = &pair.client;
      for (int i = 0; i < step; ++i) {
        command = to->take(command, metadata).value().answer;
        std::swap(to, from);
      }
      if (at >= command.size()) {
        break;
      }
      // Padding and the minor version of HELLO may be anything.
      if (step == 0 && at >= 7 && at < 80) {
        continue;
      }
      command[at] = static_cast<char>(command[at] ^ 1);
      EXPECT_FALSE(to->take(command, metadata)) << "step " << step << " byte " << at;
    }
  }
}

TEST(Curve, ARepeatedOrChangedMessageIsRefused) {
  Pair pair;
  ASSERT_TRUE(pair.shake_hands());
  const std::string first = Pair::sealed(pair.client, "first");
  const std::string second = Pair::sealed(pair.client, "second");
  std::string body = second;
  ASSERT_TRUE(pair.server.open(body));
  for (const std::string& old : {first, second}) {
    body = old;
    EXPECT_FALSE(pair.server.open(body));
  }
  const std::string third = Pair::sealed(pair.client, "third");
  for (std::size_t at = 0; at < third.size(); ++at) {
    body = third;
    body[at] = static_cast<char>(body[at] ^ 0x80);
    EXPECT_FALSE(pair.server.open(body)) << at;
  }
  body = third;
  EXPECT_TRUE(pair.server.open(body));
  // One's own messages sent back.
  body = Pair::sealed(pair.server, "mine");
  EXPECT_FALSE(pair.server.open(body));
}

/// Two sessions of ZMTP, one fed with what the other says.
TEST(Curve, ASessionTakesPiecesOfAnySize) {
  const auto keys = make_curve_key_pair();
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
    const ZmtpSession::Options server_options{.type = ZmtpType::router,
                                              .curve = curve_server(keys).value()};
    const ZmtpSession::Options client_options{
        .type = ZmtpType::dealer,
        .identity = "me",
        .curve = curve_client(make_curve_key_pair(), keys.public_key).value()};
    ZmtpSession server(server_options);
    ZmtpSession client(client_options);
    std::string to_server = client.hello();
    std::string to_client = server.hello();
    std::vector<Frames> messages;
    const auto feed = [&](ZmtpSession& session, std::string bytes, std::string& answer) {
      for (std::size_t at = 0; at < bytes.size(); at += piece) {
        ASSERT_TRUE(session.feed(std::string_view(bytes).substr(at, piece), messages, answer));
      }
    };
    while (!to_server.empty() || !to_client.empty()) {
      feed(server, std::exchange(to_server, {}), to_client);
      feed(client, std::exchange(to_client, {}), to_server);
    }
    ASSERT_TRUE(server.ready() && client.ready());
    EXPECT_EQ(server.peer_identity(), "me");
    server.set_name("me");
    client.set_name("server");
    const std::string large(20'000, 'l');
    // One after the other: each has the next number.
    std::string wire = client.ping();
    wire += client.seal("", true);
    wire += client.ping();
    append_zmtp_header(wire, large.size() + CurveSession::overhead, false);
    wire += client.seal_large(large, true).bytes;
    wire += client.seal("end", false);
    wire += client.ping();
    feed(server, wire, to_client);
    ASSERT_EQ(messages.size(), 1U);
    ASSERT_EQ(messages[0].size(), 4U);
    EXPECT_EQ(messages[0][0], "me");
    EXPECT_EQ(messages[0][2], large);
    EXPECT_EQ(messages[0][3], "end");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(messages[0][2].data()) % 16, 0U);
    EXPECT_EQ(server.held_bytes(), 0U);
    feed(client, to_client, to_server);
    EXPECT_EQ(client.pongs(), 3U);
  }
}

}  // namespace
}  // namespace ipf
