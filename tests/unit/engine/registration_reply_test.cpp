#include "engine/registration_reply.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

TEST(RegistrationReply, AnIdIsAcceptedWithThePeriodOfPings) {
  const auto reply = read_registration_reply(R"({"status": "ok", "id": 3, "hb_period": 250})", "u");
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->refused);
  EXPECT_EQ(reply->accepted.id, EngineId{3});
  EXPECT_EQ(reply->accepted.ping_period, std::chrono::milliseconds(250));
  EXPECT_EQ(read_registration_reply(R"({"status": "ok", "id": 3})", "u")->accepted.ping_period,
            std::chrono::seconds(3));
}

TEST(RegistrationReply, ARefusalSaysWhetherTheEngineIsKnown) {
  const auto known =
      read_registration_reply(R"({"status": "error", "evalue": "uuid 'u-1' in use"})", "u-1");
  ASSERT_TRUE(known && known->refused);
  EXPECT_TRUE(known->refused->known);
  const auto other =
      read_registration_reply(R"({"status": "error", "evalue": "uuid 'x' in use"})", "u-1");
  EXPECT_FALSE(other->refused->known);
  EXPECT_EQ(read_registration_reply(R"({"id": "three"})", "u")->refused->reason,
            "it gave no reason");
  EXPECT_FALSE(read_registration_reply("[]", "u"));
}

TEST(RegistrationReply, PortsComeFromItOnlyIfItNamesThem) {
  const auto reply = read_registration_reply(R"({"status": "ok", "id": 3})", "u");
  ASSERT_TRUE(reply);
  EXPECT_FALSE(reply->complete({}));
}

}  // namespace
}  // namespace ipf::engine
