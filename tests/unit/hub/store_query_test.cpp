#include "hub/store_query.hpp"

#include <chrono>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "hub/record_change.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::wall_ms;

/// A direct call of 1 s past the base time, finished at 1.02 s by engine e1 (protocol.md 7.2).
TaskRecord finished_record() {
  TaskRecord record{.msg_id = "m5"};
  const RecordLimits limits;
  apply_change(record,
               RecordRequest{.queue = TaskQueue::mux,
                             .engine_uuid = "e1",
                             .request = test::apply_request(
                                 "m5", {.date_ms = 1000, .metadata = R"({"label": "lab"})"})},
               limits);
  apply_change(record,
               RecordReply{.engine_uuid = "e1",
                           .received = wall_ms(1030),
                           .reply = test::apply_reply(
                               "m5", "e1", {.date_ms = 1020, .metadata = {}, .buffers = {}})},
               limits);
  return record;
}

struct QueryCase {
  std::string name{};
  std::string query{};
  bool expected{};
};

std::ostream& operator<<(std::ostream& out, const QueryCase& one) {
  return out << one.query;
}

class QueryMeaning : public testing::TestWithParam<QueryCase> {};

TEST_P(QueryMeaning, IsAsDocumented) {
  const auto query = StoreQuery::parse(test::parsed(GetParam().query));
  ASSERT_TRUE(query) << query.error().message;
  EXPECT_EQ(matches(finished_record(), *query), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Operators,
    QueryMeaning,
    testing::Values(
        QueryCase{"EmptyMatchesAll", "{}", true},
        QueryCase{"PlainEqual", R"({"msg_id": "m5"})", true},
        QueryCase{"PlainUnequal", R"({"msg_id": "m4"})", false},
        QueryCase{"TwoKeysBothHold", R"({"queue": "mux", "label": "lab"})", true},
        QueryCase{"TwoKeysOneFails", R"({"queue": "task", "label": "lab"})", false},
        QueryCase{"TwoKeysOtherFails", R"({"queue": "mux", "label": "mux"})", false},
        QueryCase{"PlainNull", R"({"resubmitted": null})", true},
        QueryCase{"PlainNullOnAValue", R"({"label": null})", false},
        QueryCase{"PlainNumberOnText", R"({"label": 5})", false},
        QueryCase{"PlainObjectColumn", R"({"result_content": {"$eq": {"status": "ok"}}})", true},
        QueryCase{"Eq", R"({"label": {"$eq": "lab"}})", true},
        QueryCase{"EqNull", R"({"error": {"$eq": null}})", true},
        QueryCase{"Ne", R"({"label": {"$ne": "x"}})", true},
        QueryCase{"NeSame", R"({"label": {"$ne": "lab"}})", false},
        QueryCase{"NeNullMeansPresent", R"({"completed": {"$ne": null}})", true},
        QueryCase{"NeNullOnMissing", R"({"resubmitted": {"$ne": null}})", false},
        QueryCase{"LtText", R"({"msg_id": {"$lt": "m6"}})", true},
        QueryCase{"LtTextSame", R"({"msg_id": {"$lt": "m5"}})", false},
        QueryCase{"LteTextSame", R"({"msg_id": {"$lte": "m5"}})", true},
        QueryCase{"GtText", R"({"msg_id": {"$gt": "m4"}})", true},
        QueryCase{"GtIsNotLt", R"({"msg_id": {"$gt": "m6"}})", false},
        QueryCase{"GtTextSame", R"({"msg_id": {"$gt": "m5"}})", false},
        QueryCase{"GteTextSame", R"({"msg_id": {"$gte": "m5"}})", true},
        QueryCase{"RangeInside", R"({"msg_id": {"$gt": "m4", "$lt": "m6"}})", true},
        QueryCase{"RangeOutside", R"({"msg_id": {"$gt": "m4", "$lt": "m5"}})", false},
        QueryCase{"OrderOnMissingNeverHolds", R"({"resubmitted": {"$lt": "z"}})", false},
        QueryCase{"OrderOnOtherTypeNeverHolds", R"({"label": {"$gt": 3}})", false},
        QueryCase{"OrderWithNullNeverHolds", R"({"label": {"$gte": null}})", false},
        QueryCase{"OrderOnObjectsNeverHolds", R"({"header": {"$gt": "a"}})", false},
        QueryCase{"In", R"({"msg_id": {"$in": ["a", "m5", "b"]}})", true},
        QueryCase{"InWithout", R"({"msg_id": {"$in": ["a", "b"]}})", false},
        QueryCase{"InEmpty", R"({"msg_id": {"$in": []}})", false},
        QueryCase{"InMixedTypes", R"({"label": {"$in": [5, null, "lab", true, {"a": 1}]}})", true},
        QueryCase{"InNullMatchesMissing", R"({"resubmitted": {"$in": ["x", null]}})", true},
        QueryCase{"Nin", R"({"msg_id": {"$nin": ["a", "b"]}})", true},
        QueryCase{"NinWith", R"({"msg_id": {"$nin": ["a", "m5"]}})", false},
        QueryCase{"NinEmpty", R"({"msg_id": {"$nin": []}})", true},
        QueryCase{"NinNull", R"({"resubmitted": {"$nin": [null]}})", false},
        QueryCase{"AllOfOne", R"({"label": {"$all": ["lab", "lab"]}})", true},
        QueryCase{"AllWithAnother", R"({"label": {"$all": ["lab", "x"]}})", false},
        QueryCase{"AllEmpty", R"({"label": {"$all": []}})", false},
        QueryCase{"ModOnText", R"({"label": {"$mod": [2, 0]}})", false},
        QueryCase{"ExistsTrue", R"({"label": {"$exists": true}})", true},
        QueryCase{"ExistsFalse", R"({"label": {"$exists": false}})", false},
        QueryCase{"ExistsFalseOnMissing", R"({"resubmitted": {"$exists": false}})", true},
        QueryCase{"ExistsOne", R"({"label": {"$exists": 1}})", true},
        QueryCase{"GlobStar", R"({"msg_id": {"$glob": "m*"}})", true},
        QueryCase{"GlobNoMatch", R"({"msg_id": {"$glob": "n*"}})", false},
        QueryCase{"GlobOnMissing", R"({"resubmitted": {"$glob": "*"}})", false},
        QueryCase{"GlobOnDate", R"({"submitted": {"$glob": "2026-11-*"}})", true},
        QueryCase{"NoOperators", R"({"label": {}})", true}));

INSTANTIATE_TEST_SUITE_P(
    Dates,
    QueryMeaning,
    testing::Values(
        QueryCase{"Equal", R"({"submitted": "2026-11-21T01:40:36Z"})", true},
        QueryCase{"EqualInAnotherZone", R"({"submitted": "2026-11-21T03:40:36.000+02:00"})", true},
        QueryCase{"EqualWithoutZoneIsUtc", R"({"submitted": "2026-11-21 01:40:36"})", true},
        QueryCase{"Unequal", R"({"submitted": "2026-11-21T01:40:36.000001Z"})", false},
        QueryCase{"LtLaterZone", R"({"submitted": {"$lt": "2026-11-21T02:40:36.5+01:00"}})", true},
        QueryCase{"GtEarlier", R"({"submitted": {"$gt": "2026-11-21T01:40:35.999Z"}})", true},
        QueryCase{"GtSame", R"({"submitted": {"$gt": "2026-11-21T01:40:36Z"}})", false},
        QueryCase{"GteSame", R"({"completed": {"$gte": "2026-11-21T01:40:36.02Z"}})", true},
        QueryCase{"Started", R"({"started": "2026-11-21T01:40:36.01Z"})", true},
        QueryCase{"Received", R"({"received": {"$lte": "2026-11-21T01:40:36.030000Z"}})", true},
        QueryCase{"In", R"({"submitted": {"$in": [null, "2026-11-21T01:40:36Z"]}})", true},
        QueryCase{"Nin", R"({"submitted": {"$nin": ["2026-11-21T01:40:36Z"]}})", false},
        QueryCase{"NullIsNotADate", R"({"completed": null})", false},
        QueryCase{"ExistsDate", R"({"completed": {"$exists": true}})", true}));

struct BadCase {
  std::string query{};
  ErrorCode code{};
  std::string part{};
};

TEST(StoreQueryParse, MistakesAreErrorsThatNameThem) {
  const std::vector<BadCase> cases{
      {R"({"msg_id": {"$bogus": 1}})", ErrorCode::not_found, "$bogus"},
      {R"({"msg_id": {"eq": 1}})", ErrorCode::not_found, "eq"},
      {R"({"nothing": 1})", ErrorCode::not_found, "Illegal testing key(s): nothing"},
      {R"({"msg_id' OR 1=1": 1})", ErrorCode::not_found, "Illegal"},
      {R"({"label": {"$in": "abc"}})", ErrorCode::invalid_argument, "$in needs a list"},
      {R"({"label": {"$nin": null}})", ErrorCode::invalid_argument, "$nin needs a list"},
      {R"({"label": {"$all": 3}})", ErrorCode::invalid_argument, "$all needs a list"},
      {R"({"label": {"$mod": [0, 1]}})", ErrorCode::invalid_argument, "divide by 0"},
      {R"({"label": {"$mod": [2]}})", ErrorCode::invalid_argument, "$mod needs"},
      {R"({"label": {"$mod": ["a", 1]}})", ErrorCode::invalid_argument, "$mod needs"},
      {R"({"label": {"$mod": 2}})", ErrorCode::invalid_argument, "$mod needs"},
      {R"({"label": {"$exists": "yes"}})", ErrorCode::invalid_argument, "$exists needs"},
      {R"({"label": {"$glob": 5}})", ErrorCode::invalid_argument, "$glob needs a text"},
      {R"({"submitted": {"$lt": "yesterday"}})", ErrorCode::invalid_argument,
       "'submitted' holds dates"},
      {R"({"submitted": {"$in": ["2026-11-21T01:40:36Z", "no"]}})", ErrorCode::invalid_argument,
       "holds dates"},
      {R"([])", ErrorCode::invalid_argument, "dictionary"},
      {R"("text")", ErrorCode::invalid_argument, "dictionary"},
  };
  for (const auto& one : cases) {
    const auto query = StoreQuery::parse(test::parsed(one.query));
    ASSERT_FALSE(query) << one.query;
    EXPECT_EQ(query.error().code, one.code) << one.query;
    EXPECT_NE(query.error().message.find(one.part), std::string::npos) << query.error().message;
  }
}

TEST(StoreQueryParse, SizeAndDepthAreLimited) {
  const QueryLimits limits{
      .conditions_max = 2, .list_items_max = 3, .text_bytes_max = 10, .depth_max = 4};
  for (const auto* query : {
           R"({"queue": 1, "label": 2, "stdout": 3})",
           R"({"label": {"$in": [1, 2, 3, 4]}})",
           R"({"label": "12345678901"})",
           R"({"label": {"$eq": [[[[1]]]]}})",
       }) {
    const auto refused = StoreQuery::parse(test::parsed(query), limits);
    ASSERT_FALSE(refused) << query;
    EXPECT_EQ(refused.error().code, ErrorCode::too_large);
  }
  EXPECT_TRUE(StoreQuery::parse(test::parsed(R"({"label": {"$in": [1, 2, 3]}})"), limits));
  const auto glob =
      StoreQuery::parse({{"label", {{"$glob", std::string(GlobPattern::bytes_max + 1, '*')}}}});
  ASSERT_FALSE(glob);
  EXPECT_EQ(glob.error().code, ErrorCode::too_large);
}

TEST(StoreQueryParse, WantedMsgIdsAreFoundWithoutAScan) {
  const auto wanted = [](const char* text) {
    return StoreQuery::parse(test::parsed(text))->wanted_msg_ids();
  };
  using Ids = std::vector<std::string>;
  EXPECT_EQ(wanted(R"({"msg_id": "a"})"), Ids{"a"});
  EXPECT_EQ(wanted(R"({"msg_id": {"$eq": "a"}, "queue": "mux"})"), Ids{"a"});
  EXPECT_EQ(wanted(R"({"msg_id": {"$in": ["b", "a", "b", 5]}})"), (Ids{"a", "b"}));
  EXPECT_EQ(wanted(R"({"msg_id": null})"), Ids{});
  EXPECT_EQ(wanted(R"({"msg_id": {"$ne": "a"}})"), std::nullopt);
  EXPECT_EQ(wanted(R"({})"), std::nullopt);
  EXPECT_EQ(wanted_msg_id(*StoreQuery::parse({{"msg_id", "a"}})), "a");
  EXPECT_EQ(wanted_msg_id(StoreQuery{}), std::nullopt);
}

Condition condition(const char* op, const Json& operand) {
  const auto query = StoreQuery::parse({{"label", {{op, operand}}}});
  EXPECT_TRUE(query) << op;
  return query->conditions().at(0);
}

TEST(QueryCondition, ModTakesWholeNumbersOnly) {
  EXPECT_TRUE(holds(condition("$mod", {5, 2}), 7));
  EXPECT_FALSE(holds(condition("$mod", {5, 2}), 8));
  EXPECT_FALSE(holds(condition("$mod", {5, 2}), 7.0));
  EXPECT_FALSE(holds(condition("$mod", {5, 2}), nullptr));
  EXPECT_TRUE(holds(condition("$mod", {-1, 0}), std::numeric_limits<std::int64_t>::min()));
}

TEST(QueryCondition, AllOfAListColumnMeansItHasEach) {
  const Json list = {"a", "b", "c"};
  EXPECT_TRUE(holds(condition("$all", {"c", "a"}), list));
  EXPECT_FALSE(holds(condition("$all", {"c", "x"}), list));
}

TEST(QueryCondition, NumbersCompareByValueWhateverTheirType) {
  EXPECT_TRUE(holds(condition("$eq", 1), 1.0));
  EXPECT_TRUE(holds(condition("$lt", 1.5), 1));
  EXPECT_TRUE(holds(condition("$gt", -1), 0U));
  EXPECT_TRUE(holds(condition("$in", {3, 1, 2.0}), 2));
}

TEST(GlobPattern, MatchesAsFnmatchDoes) {
  struct GlobCase {
    const char* pattern;
    const char* text;
    bool expected;
  };
  const std::vector<GlobCase> cases{
      {"", "", true},           {"", "a", false},
      {"*", "", true},          {"**", "abc", true},
      {"a", "a", true},         {"a", "A", false},
      {"?", "a", true},         {"?", "", false},
      {"?", "\u20ac", true},    {"a*c", "abbbc", true},
      {"a*c", "abbb", false},   {"*a*b*", "xxaxxbxx", true},
      {"*a*b", "ab ab", true},  {"*ab", "aab", true},
      {"*aab", "aaab", true},   {"[abc]", "b", true},
      {"[abc]", "d", false},    {"[!abc]", "d", true},
      {"[!abc]", "a", false},   {"[a-c]x", "bx", true},
      {"[a-c]", "-", false},    {"[a-]", "-", true},
      {"[]]", "]", true},       {"[!]]", "x", true},
      {"[!]]", "]", false},     {"[abc", "[abc", true},
      {"[", "[", true},         {"a[", "a[", true},
      {"[!", "[!", true},       {"[c-a]", "b", false},
      {"*\n*", "a\nb", true},   {"?", "\n", true},
      {"a.c", "abc", false},    {"[\u20ac]", "\u20ac", true},
      {"*.txt", "x.txt", true}, {"*.txt", "x.txt~", false},
      {"[]", "[]", true},       {"a*", "a", true},
      {"*[0-9]", "abc7", true}, {"\xff", "\xff", true},
  };
  for (const auto& one : cases) {
    const auto pattern = GlobPattern::compile(one.pattern);
    ASSERT_TRUE(pattern);
    EXPECT_EQ(pattern->matches(one.text), one.expected) << one.pattern << " on " << one.text;
  }
}

TEST(GlobPattern, LongPatternsCrossTheWordsOfTheBitSet) {
  for (const std::size_t length : {63U, 64U, 65U, 127U, 128U, 129U, 1000U}) {
    const std::string text(length, 'x');
    EXPECT_TRUE(GlobPattern::compile(text)->matches(text)) << length;
    EXPECT_FALSE(GlobPattern::compile(text)->matches(text + "x")) << length;
    EXPECT_FALSE(GlobPattern::compile(text)->matches(text.substr(1))) << length;
    EXPECT_TRUE(GlobPattern::compile(text + "*")->matches(text + "yyy")) << length;
    EXPECT_TRUE(GlobPattern::compile("*" + text)->matches("xxx" + text)) << length;
  }
}

TEST(GlobPattern, APatternMadeToBacktrackIsStillFast) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) {
    pattern += "*a";
  }
  const std::string text(200'000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(GlobPattern::compile(pattern + "b")->matches(text));
  EXPECT_TRUE(GlobPattern::compile(pattern)->matches(text));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds{2});
}

/// The obvious exponential matcher, for patterns without sets.
bool slow_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) {
    return text.empty();
  }
  if (pattern[0] == '*') {
    return slow_glob(pattern.substr(1), text) ||
           (!text.empty() && slow_glob(pattern, text.substr(1)));
  }
  return !text.empty() && (pattern[0] == '?' || pattern[0] == text[0]) &&
         slow_glob(pattern.substr(1), text.substr(1));
}

TEST(GlobPattern, AgreesWithASimpleMatcherOnRandomPatterns) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string pattern;
    std::string text;
    for (std::uint64_t n = rng.below(7); n > 0; --n) {
      pattern += "ab*?"[rng.below(4)];
    }
    for (std::uint64_t n = rng.below(9); n > 0; --n) {
      text += "ab"[rng.below(2)];
    }
    ASSERT_EQ(GlobPattern::compile(pattern)->matches(text), slow_glob(pattern, text))
        << pattern << " on " << text;
  }
}

}  // namespace
}  // namespace ipf
