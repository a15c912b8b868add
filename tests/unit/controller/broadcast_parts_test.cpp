// The texts of a broadcast's legs, and what the relay reads back from them.
#include <string>

#include <gtest/gtest.h>

#include "controller/coalesced_leg.hpp"
#include "controller/leg_writer.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::json_of;
using test::unsigned_message;

Message request_with(const std::string& header,
                     const std::string& metadata = R"({"targets": []})") {
  return unsigned_message({.identities = {"client"},
                           .header = header,
                           .metadata = metadata,
                           .content = R"({"code": "x"})",
                           .buffers = {"buffer", std::string(10'000, 'b')}});
}

TEST(LegWriter, ALegHasItsOwnMsgIdAndTargetsAndTheClientsOtherBytes) {
  const Signer signer = test::make_signer();
  LegWriter writer(signer);
  const Message request = request_with(
      R"({"date": "2026-11-21T01:40:35.193815Z" , "msg_id" :"s_1_0", "x": {"msg_id": "inner"}, "msg_type": "apply_request"})",
      R"({"is_broadcast": true, "targets": [["a", 0], ["b", 1]], "label": null})");
  ASSERT_TRUE(writer.prepare(request));
  const Message leg = writer.write({"b", EngineId{1}});
  EXPECT_EQ(
      leg.header(),
      R"({"date": "2026-11-21T01:40:35.193815Z" , "msg_id" :"s_1_0_b", "x": {"msg_id": "inner"}, "msg_type": "apply_request"})");
  EXPECT_EQ(json_of(leg.metadata()),
            json_of(R"({"is_broadcast": true, "label": null, "original_msg_id": "s_1_0",
                        "targets": [["b", 1]]})"));
  EXPECT_EQ(leg.identity_count(), 0U);
  EXPECT_EQ(leg.content(), request.content());
  ASSERT_EQ(leg.buffer_count(), 2U);
  EXPECT_EQ(leg.buffer(1).data(), request.buffer(1).data()) << "large buffers are shared";
  EXPECT_TRUE(signer.verify(leg.signature(), leg.signed_parts()));
  EXPECT_EQ(json_of(writer.write({"a", EngineId{0}}).header()).at("msg_id"), "s_1_0_a");
}

TEST(LegWriter, NamesWithQuotesStayInsideTheirStrings) {
  const Signer signer = test::make_signer();
  LegWriter writer(signer);
  const std::string evil = R"(", "msg_type": "x)";
  ASSERT_TRUE(writer.prepare(request_with(R"({"msg_id": "q\"\\", "msg_type": "apply_request"})")));
  writer.set_coalesced(2);
  const Message leg = writer.write({evil, EngineId{7}});
  const Json header = json_of(leg.header());
  EXPECT_EQ(header.at("msg_id"), "q\"\\_" + evil);
  EXPECT_EQ(header.at("msg_type"), "apply_request");
  EXPECT_EQ(header.at(std::string(coalesced_key)), "2 q\"\\");
  EXPECT_EQ(json_of(leg.metadata()).at("targets"), json_of(R"([["\", \"msg_type\": \"x", 7]])"));
  EXPECT_EQ(json_of(leg.metadata()).at("original_msg_id"), "q\"\\");
}

TEST(LegWriter, HeadersThatReadersWouldTakeDifferentlyAreRefused) {
  const Signer signer = test::make_signer();
  LegWriter writer(signer);
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  for (const std::string& header :
       {std::string(R"({"msg_id": "a", "msg_id": "b"})"), std::string(R"({"msg_id": 5})"),
        std::string(R"({"msg\u005fid": "a", "msg_id": "b"})"), std::string(R"({"x": 1})"),
        std::string(R"({"msg_id": "a", "x": )") + deep + "}", std::string(R"({"msg_id": "a")"),
        std::string(R"(["msg_id"])"), std::string("{\"msg_id\": \"\xff\"}"),
        R"({"msg_id": "a", "x": ")" + std::string(header_bytes_max - 100, 'x') + "\"}"}) {
    EXPECT_FALSE(writer.prepare(request_with(header))) << header.substr(0, 80);
  }
  EXPECT_FALSE(writer.prepare(request_with(R"({"msg_id": "a"})", "[]")));
  EXPECT_TRUE(writer.prepare(request_with(R"({"x": "msg_id", "y": ["msg_id"], "msg_id": "a"})")));
  EXPECT_EQ(json_of(writer.header({"u", {}})).at("msg_id"), "a_u");
}

// ---- CoalescedLeg -------------------------------------------------------------------------------

Message output_of(std::string_view parent) {
  return unsigned_message({.parent = std::string(parent)});
}

TEST(CoalescedLeg, IsReadBackFromAnOutputsParent) {
  const Signer signer = test::make_signer();
  LegWriter writer(signer);
  const Message request = request_with(R"({"msg_id": "m", "session": "s", "msg_type": "t"})");
  ASSERT_TRUE(writer.prepare(request));
  writer.set_coalesced(3);
  const auto leg = CoalescedLeg::read(output_of(writer.header({"a", {}})));
  ASSERT_TRUE(leg);
  EXPECT_EQ(leg->msg_id, "m");
  EXPECT_EQ(leg->leg_msg_id, "m_a");
  EXPECT_EQ(leg->legs, 3U);
  EXPECT_EQ(json_of(leg->call_header()), json_of(request.header()));
  writer.set_coalesced(0);
  EXPECT_FALSE(CoalescedLeg::read(output_of(writer.header({"a", {}}))));
}

TEST(CoalescedLeg, OddMarksAreNone) {
  for (const std::string parent :
       {R"({"msg_id": "ipf_coalesced"})", R"({"msg_id": "m_a", "ipf_coalesced": 5})",
        R"({"msg_id": "m_a", "ipf_coalesced": "m"})", R"({"msg_id": "m_a", "ipf_coalesced": ""})",
        R"({"msg_id": "m_a", "ipf_coalesced": "3"})", R"({"msg_id": "m_a", "ipf_coalesced": "3 "})",
        R"({"msg_id": "m_a", "ipf_coalesced": "-1 m"})",
        R"({"msg_id": "m_a", "ipf_coalesced": "1 other"})",
        R"({"msg_id": "m_a", "ipf_coalesced": "99999999999999999999999 m"})",
        R"(["ipf_coalesced"])", R"({"ipf_coalesced": )"}) {
    EXPECT_FALSE(CoalescedLeg::read(output_of(parent))) << parent;
  }
}

}  // namespace
}  // namespace ipf
