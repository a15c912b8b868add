#include "engine/nanny_link.hpp"

#include <string>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

std::string line_of(std::string text) {
  EXPECT_TRUE(text.ends_with('\n')) << text;
  text.pop_back();
  EXPECT_EQ(text.find('\n'), std::string::npos) << text;
  return text;
}

TEST(NannyLink, ARegistrationBringsAllThatTheDeathNoticeNeeds) {
  const EngineCard card{.uuid = "u-1",
                        .url = "tcp://127.0.0.1:1",
                        .key = "k\"\n",
                        .scheme = "hmac-sha256",
                        .curve_serverkey = {},
                        .id = EngineId{7}};
  const NannyLine line = read_nanny_line(line_of(registered_line(card)));
  ASSERT_TRUE(line.card);
  EXPECT_EQ(line.card->uuid, card.uuid);
  EXPECT_EQ(line.card->url, card.url);
  EXPECT_EQ(line.card->key, card.key);
  EXPECT_EQ(line.card->scheme, card.scheme);
  EXPECT_EQ(line.card->id, card.id);
  EXPECT_FALSE(line.unregistered || line.leaving || line.restart || line.end);
}

TEST(NannyLink, EachOtherLineSaysOneThing) {
  EXPECT_TRUE(read_nanny_line(line_of(unregistered_line())).unregistered);
  const NannyLine leaving = read_nanny_line(line_of(leaving_line(false)));
  EXPECT_TRUE(leaving.leaving && !leaving.restart && !leaving.card);
  EXPECT_TRUE(read_nanny_line(line_of(leaving_line(true))).restart);
  EXPECT_EQ(read_nanny_line(line_of(end_line("used \"too\" much"))).end, "used \"too\" much");
}

TEST(NannyLink, NonsenseSaysNothing) {
  for (const char* text :
       {"", "{", "[]", "7", R"({"leaving": 1})", R"({"id": "7"})", R"({"end": 5})"}) {
    const NannyLine line = read_nanny_line(text);
    EXPECT_FALSE(line.card || line.unregistered || line.leaving || line.restart || line.end)
        << text;
  }
}

TEST(LineBuffer, GivesWholeLinesHoweverTheyCome) {
  LineBuffer lines;
  lines.add("on");
  EXPECT_FALSE(lines.take());
  lines.add("e\ntwo\nth");
  EXPECT_EQ(lines.take(), "one");
  EXPECT_EQ(lines.take(), "two");
  EXPECT_FALSE(lines.take());
  lines.add("ree\n");
  EXPECT_EQ(lines.take(), "three");
}

TEST(LineBuffer, KeepsNoLineWithoutEnd) {
  LineBuffer lines;
  for (int i = 0; i < 1000; ++i) {
    lines.add(std::string(1000, 'x'));
  }
  lines.add("\n");
  const auto rest = lines.take();
  ASSERT_TRUE(rest);
  EXPECT_LT(rest->size(), 70'000U);
}

}  // namespace
}  // namespace ipf::engine
