#include "protocol/session.hpp"

#include <array>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/header_reader.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::json_of;
using test::make_signer;

constexpr WallTime some_time{1'795'225'235'193'815};

Message made(Session& session, const Outgoing& outgoing) {
  auto message = verify_message(session.make(outgoing, some_time), session.signer());
  EXPECT_TRUE(message) << "the session's own signer refuses it";
  return std::move(*message);
}

TEST(Session, TheHeaderHasAllFieldsOfTheProtocol) {
  const Signer signer = make_signer();
  Session session("4af0db32-50a0c18048dd77e493560c8d", "me", signer);
  const Message message = made(session, {.type = "registration_request"});
  const std::string id = "4af0db32-50a0c18048dd77e493560c8d_" + std::to_string(getpid()) + "_0";
  EXPECT_EQ(message.header(), R"({"msg_id": ")" + id +
                                  R"(", "msg_type": "registration_request", "username": "me", )"
                                  R"("session": "4af0db32-50a0c18048dd77e493560c8d", )"
                                  R"("date": "2026-11-21T01:40:35.193815Z", "version": "5.4"})");
  EXPECT_EQ(session.last_msg_id(), id);
  EXPECT_EQ(message.parent(), "{}");
  EXPECT_EQ(message.metadata(), "{}");
  EXPECT_EQ(message.content(), "{}");
}

TEST(Session, EveryPartGoesToItsFrame) {
  const Signer signer = make_signer();
  Session session("s", "me", signer);
  const std::array<std::string_view, 2> route{"client", "engine"};
  const auto large = std::make_shared<const std::string>(10'000, 'b');
  const std::vector<SharedBytes> buffers{
      {large, *large}, {}, {large, std::string_view(*large).substr(0, 3)}};
  const Message message = made(session, {.type = "apply_reply",
                                         .parent = "{\"p\": 1}",
                                         .metadata = "{\"m\": 1}",
                                         .content = "{\"c\": 1}",
                                         .identities = route,
                                         .buffers = buffers});
  EXPECT_EQ(message.identity_count(), 2U);
  EXPECT_EQ(message.identity(0), "client");
  EXPECT_EQ(message.identity(1), "engine");
  EXPECT_EQ(message.parent(), "{\"p\": 1}");
  EXPECT_EQ(message.metadata(), "{\"m\": 1}");
  EXPECT_EQ(message.content(), "{\"c\": 1}");
  ASSERT_EQ(message.buffer_count(), 3U);
  EXPECT_EQ(message.buffer(0).data(), large->data()) << "a large buffer is not copied";
  EXPECT_EQ(message.buffer(1), "");
  EXPECT_EQ(message.buffer(2), "bbb");
}

TEST(Session, NoTwoMessagesAreEqualEvenAtTheSameTime) {
  const Signer signer = make_signer();
  Session session("s", "me", signer);
  ReplayGuard guard;
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(accept_message(session.make({.type = "t"}, some_time), signer, guard));
    ids.insert(session.last_msg_id());
  }
  EXPECT_EQ(ids.size(), 1000U);
  EXPECT_EQ(session.last_msg_id(), "s_" + std::to_string(getpid()) + "_999");
}

TEST(Session, TextFromElsewhereCannotBreakTheHeader) {
  const Signer signer = make_signer();
  const std::string hostile = "x\", \"msg_id\": \"forged\\\n\x01";
  Session session("id\"" + hostile, hostile, signer);
  const Message message = made(session, {.type = hostile});
  const Json header = json_of(message.header());
  EXPECT_EQ(header.at("username"), hostile);
  EXPECT_EQ(header.at("session"), "id\"" + hostile);
  EXPECT_EQ(header.at("msg_id"), session.last_msg_id());
  EXPECT_EQ(header.at("msg_type"), hostile);
  EXPECT_EQ(header.size(), 6U);
}

TEST(Session, WithoutAKeyTheSignatureFrameIsEmpty) {
  const Signer signer = make_signer("");
  Session session("s", "me", signer);
  EXPECT_EQ(made(session, {.type = "t"}).signature(), "");
}

TEST(Session, TheFastReaderUnderstandsTheHeader) {
  const Signer signer = make_signer();
  Session session("s", "me", signer);
  HeaderReader reader;
  const Message message = made(session, {.type = "t"});
  const auto header = reader.read_header(message);
  ASSERT_TRUE(header);
  EXPECT_EQ(header->msg_id, session.last_msg_id());
  EXPECT_EQ(header->session, "s");
}

}  // namespace
}  // namespace ipf
