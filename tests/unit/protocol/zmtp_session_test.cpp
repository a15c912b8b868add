#include "protocol/zmtp_session.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::texts_of;
using Texts = std::vector<std::string>;

std::string greeting(const std::string& mechanism = "NULL", char major = 3) {
  std::string out("\xff\0\0\0\0\0\0\0\1\x7f", 10);
  out += major;
  out += '\0';
  out += mechanism;
  out.resize(64, '\0');
  return out;
}

std::string property(const std::string& name, const std::string& value) {
  std::string out(1, static_cast<char>(name.size()));
  out += name;
  out += std::string("\0\0\0", 3);
  out += static_cast<char>(value.size());
  return out + value;
}

std::string command(const std::string& body) {
  return std::string("\4") + static_cast<char>(body.size()) + body;
}

std::string ready(const std::string& type = "DEALER", const std::string& identity = {}) {
  return command("\5READY" + property("Socket-Type", type) + property("Identity", identity));
}

std::string frame(const std::string& bytes, bool more) {
  std::string out;
  append_zmtp_header(out, bytes.size(), more);
  return out + bytes;
}

/// One receiving side, fed in pieces of any size.
struct Peer {
  explicit Peer(ZmtpSession::Options given = {}) : options(std::move(given)), session(options) {}

  Result<void> feed(std::string_view bytes) {
    auto fed = session.feed(bytes, messages, answer);
    if (fed && session.ready() && !named) {
      named = true;
      session.set_name(session.peer_identity().empty() ? "anonymous" : session.peer_identity());
      fed = session.feed({}, messages, answer);
    }
    return fed;
  }

  ZmtpSession::Options options;
  ZmtpSession session;
  std::vector<Frames> messages{};
  std::string answer{};
  bool named{false};
};

TEST(ZmtpSession, HandshakeThenMessagesWhateverThePieces) {
  const std::string large(10'000, 'L');
  const std::string medium(300, 'm');
  const std::string wire = greeting() + ready("DEALER", "me") + frame("", true) +
                           frame(medium, true) + frame(large, false) + frame("next", false);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{63},
                                  std::size_t{64}, std::size_t{1000}, wire.size()}) {
    Peer peer;
    for (std::size_t at = 0; at < wire.size(); at += piece) {
      ASSERT_TRUE(peer.feed(std::string_view(wire).substr(at, piece))) << piece;
    }
    ASSERT_EQ(peer.messages.size(), 2U) << piece;
    EXPECT_EQ(texts_of(peer.messages[0]), (Texts{"me", "", medium, large}));
    EXPECT_EQ(texts_of(peer.messages[1]), (Texts{"me", "next"}));
    EXPECT_EQ(peer.session.held_bytes(), 0U);
  }
}

TEST(ZmtpSession, BytesOfALargeFrameMayBeReceivedIntoPlace) {
  Peer peer;
  const std::string large(20'000, 'x');
  const std::string wire = frame(large, false);
  ASSERT_TRUE(peer.feed(greeting() + ready() + wire.substr(0, 100)));
  const auto room = peer.session.room();
  ASSERT_EQ(room.size(), wire.size() - 100);
  std::memcpy(room.data(), wire.data() + 100, room.size());
  std::string answer;
  ASSERT_TRUE(peer.session.filled(room.size(), peer.messages, answer));
  EXPECT_TRUE(peer.session.room().empty());
  ASSERT_EQ(peer.messages.size(), 1U);
  EXPECT_EQ(texts_of(peer.messages[0]), (Texts{"anonymous", large}));
}

TEST(ZmtpSession, ItsOwnHelloIsUnderstood) {
  const ZmtpSession::Options options{.identity = "task_in"};
  Peer peer;
  ASSERT_TRUE(peer.feed(ZmtpSession(options).hello()));
  EXPECT_TRUE(peer.session.ready());
  EXPECT_EQ(peer.session.peer_identity(), "task_in");
}

TEST(ZmtpSession, APingIsAnsweredWithItsContext) {
  Peer peer;
  ASSERT_TRUE(peer.feed(greeting() + ready() + command(std::string("\4PING\0\1ctx", 10))));
  EXPECT_EQ(peer.answer, command("\4PONGctx"));
}

TEST(ZmtpSession, OtherCommandsAreIgnored) {
  Peer peer;
  ASSERT_TRUE(peer.feed(greeting() + ready() + command("\4WHAT") + frame("a", false)));
  EXPECT_EQ(peer.messages.size(), 1U);
  EXPECT_EQ(peer.answer, "");
}

struct Refused {
  const char* name;
  std::string wire;
};

class ZmtpRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ZmtpRefuses, AndHasNoMessage) {
  Peer peer;
  EXPECT_FALSE(peer.feed(GetParam().wire));
  EXPECT_TRUE(peer.messages.empty());
}

INSTANTIATE_TEST_SUITE_P(
    All,
    ZmtpRefuses,
    testing::Values(Refused{"http", "GET / HTTP/1.1\r\n\r\n"},
                    Refused{"zmtp2", greeting("NULL", 1)},
                    Refused{"zmtp2_so_far", greeting("NULL", 1).substr(0, 11)},
                    Refused{"curve", greeting("CURVE")},
                    Refused{"message_first", greeting() + frame("x", false)},
                    Refused{"other_command", greeting() + command("\5HELLO")},
                    Refused{"subscriber", greeting() + ready("SUB")},
                    Refused{"no_type", greeting() + command("\5READY")},
                    Refused{"cut_property", greeting() + command("\5READY\xffX")},
                    Refused{"zero_identity", greeting() + ready("DEALER", std::string("\0a", 2))},
                    Refused{"unnamed_command", greeting() + command("\x20xy")},
                    Refused{"flags", greeting() + ready() + std::string("\x80\0", 2)},
                    Refused{"giant_command",
                            greeting() + std::string("\6\0\0\0\0\xff\0\0\0\0", 10)}),
    [](const auto& test) { return test.param.name; });

TEST(ZmtpSession, AMessageOverTheLimitIsRefusedBeforeItIsReceived) {
  Peer peer({.message_bytes_max = 14'000});
  ASSERT_TRUE(peer.feed(greeting() + ready() + frame(std::string(9'000, 'x'), true)));
  std::string header;
  append_zmtp_header(header, 5'001, false);
  const auto fed = peer.feed(header);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().code, ErrorCode::too_large);
}

TEST(ZmtpSession, ASizeThatWrapsAroundIsRefused) {
  Peer peer;
  ASSERT_TRUE(peer.feed(greeting() + ready() + frame("x", true)));
  EXPECT_FALSE(peer.feed(std::string("\2\xff\xff\xff\xff\xff\xff\xff\xff", 9)));
}

TEST(ZmtpSession, TooManyFramesAreRefused) {
  Peer peer({.message_frames_max = 3});
  ASSERT_TRUE(peer.feed(greeting() + ready()));
  EXPECT_FALSE(peer.feed(frame("", true) + frame("", true) + frame("", true)));
}

}  // namespace
}  // namespace ipf
