#include "protocol/json_members.hpp"

#include <string>

#include <gtest/gtest.h>

#include "protocol/json_text.hpp"

namespace ipf {
namespace {

TEST(JsonMembers, ReadsTexts) {
  JsonMembers members;
  ASSERT_TRUE(members.open(R"({"a": "x\u0041", "n": 5, "o": {"a": "inner"}, "null": null})"));
  EXPECT_EQ(members.text("a"), "xA");
  for (const auto* key : {"n", "o", "null", "missing"}) {
    EXPECT_FALSE(members.text(key)) << key;
  }
  EXPECT_FALSE(members.open("[1]"));
  EXPECT_FALSE(members.text("a")) << "what was open before is closed";
}

TEST(JsonMembers, TakesTheSameTextsAsParseJson) {
  JsonMembers members;
  std::vector<std::string> texts{"",
                                 "null",
                                 "5",
                                 "{}",
                                 "{",
                                 R"({"a": "1", "a": "2"})",
                                 R"({"a": "1", "a": 2})",
                                 R"({"a": "x", "n": 123456789012345678901234567890})",
                                 R"({"a": "x", "n": 1e999})",
                                 R"({"a": "x", "n": NaN})",
                                 R"({"a": "\ud800"})",
                                 "{\"a\": \"\xff\"}",
                                 "{\"a\": \"\x01\"}",
                                 "\xef\xbb\xbf{\"a\": \"bom\"}",
                                 R"({"a": "x"} more)",
                                 R"({"a": "x",})"};
  for (std::size_t depth = 60; depth < 70; ++depth) {
    texts.push_back(R"({"a": "x", "d": )" + std::string(depth, '[') + std::string(depth, ']') +
                    "}");
  }
  for (const auto& text : texts) {
    const auto slow = parse_json(text);
    EXPECT_EQ(members.open(text), slow && slow->is_object()) << text;
    const std::string expected = slow && slow->is_object() ? string_or(*slow, "a", "none") : "none";
    EXPECT_EQ(members.text("a").value_or("none"), expected) << text;
    EXPECT_EQ(members.is_value(text), slow && !slow->is_null()) << text;
  }
}

}  // namespace
}  // namespace ipf
