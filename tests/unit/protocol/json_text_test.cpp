#include "protocol/json_text.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/error_content.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(ParseJson, ReadsValuesOfEveryKind) {
  const auto value = parse_json(R"( {"a": [1, -2.5, true, null, "ä\n"],)"
                                R"( "big": 123456789012345678901234567890} )");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->at("a"), Json::array({1, -2.5, true, nullptr, "ä\n"}));
  EXPECT_TRUE(value->at("big").is_number());
}

TEST(ParseJson, RefusesWhatIsNoJson) {
  for (const std::string text :
       {"", " ", "{", "}", "[1,]", "{\"a\":1,}", "{} x", "NaN", "[Infinity]", "'a'", "\"\xff\"",
        "\"\xed\xa0\x80\"", "01", "// c\n1", "\"open", "\"\t\"", "\xef\xbb"}) {
    const auto value = parse_json(text);
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().code, ErrorCode::malformed);
  }
}

TEST(ParseJson, TheDepthIsBoundedBeforeAnythingIsParsed) {
  EXPECT_TRUE(parse_json(nested(64)));
  EXPECT_FALSE(parse_json(nested(65)));
  EXPECT_FALSE(parse_json(std::string(1'000'000, '[')));
  EXPECT_TRUE(parse_json(nested(3), {.depth_max = 3}));
  EXPECT_FALSE(parse_json("{\"a\": " + nested(3) + "}", {.depth_max = 3}));
  EXPECT_TRUE(parse_json("[[],[],[]]", {.depth_max = 2})) << "width is not depth";
}

TEST(ParseJson, BracketsInStringsAreNoDepth) {
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\""));
  EXPECT_TRUE(parse_json("\"\\\"" + std::string(1000, '{') + "\\\\\""));
  EXPECT_FALSE(parse_json("[\"\\\\\", " + nested(64) + "]"))
      << "an escaped backslash does not hide the quote";
}

TEST(ParseJson, TheSizeIsBounded) {
  EXPECT_TRUE(parse_json("[1]", {.bytes_max = 3}));
  const auto value = parse_json("[10]", {.bytes_max = 3});
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().code, ErrorCode::too_large);
}

TEST(ParseJsonObject, TakesObjectsOnlyAndNamesTheText) {
  EXPECT_TRUE(parse_json_object("{}", "content"));
  for (const std::string text : {"[]", "1", "null", "\"a\""}) {
    const auto value = parse_json_object(text, "content");
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error(), (Error{ErrorCode::malformed, "content is no JSON object"}));
  }
  const auto broken = parse_json_object("{", "content");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().message, "content: text is not valid JSON");
}

TEST(DumpJson, IsCompactKeepsUtf8AndReplacesWhatIsNone) {
  EXPECT_EQ(dump_json({{"b", 1}, {"a", "ä\n"}}), "{\"a\":\"ä\\n\",\"b\":1}");
  EXPECT_EQ(dump_json("\xff"), "\"\xef\xbf\xbd\"");
}

TEST(AppendJsonString, AnythingThatIsUtf8ComesBack) {
  for (const auto& text :
       {std::string(), std::string("plain"), std::string("q\"b\\s/"),
        std::string("\0\x01\x1f\x7f", 4), std::string("\b\f\n\r\t"), std::string("ä😀")}) {
    std::string out = "x";
    append_json_string(out, text);
    EXPECT_EQ(test::json_of(out.substr(1)), text);
  }
}

TEST(StringOr, GivesTheStringOrTheSubstitute) {
  const Json object{{"a", "text"}, {"b", 1}, {"c", nullptr}};
  EXPECT_EQ(string_or(object, "a"), "text");
  EXPECT_EQ(string_or(object, "b", "other"), "other");
  EXPECT_EQ(string_or(object, "c", "other"), "other");
  EXPECT_EQ(string_or(object, "missing"), "");
}

TEST(ErrorContent, HasWhatTheClientNeeds) {
  const Json content =
      test::json_of(error_content({.ename = "EngineError", .evalue = "it \"died\"\n\xff"}));
  EXPECT_EQ(content.at("status"), "error");
  EXPECT_EQ(content.at("ename"), "EngineError");
  EXPECT_EQ(content.at("evalue"), "it \"died\"\n\xef\xbf\xbd");
  EXPECT_EQ(content.at("traceback"), Json::array({"EngineError: it \"died\"\n\xef\xbf\xbd"}));
  EXPECT_EQ(content.at("engine_info"), Json::object())
      << "anything else makes the client wait for output";
}

TEST(ErrorContent, AKeyErrorLooksAsPythonPrintsIt) {
  EXPECT_EQ(key_error("x").evalue, "'x'");
  EXPECT_EQ(key_error("Bad Message Type: 'x'").evalue, "\"Bad Message Type: 'x'\"");
  EXPECT_EQ(key_error("x").ename, "KeyError");
}

}  // namespace
}  // namespace ipf
