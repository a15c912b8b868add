#include "core/result.hpp"

#include <memory>
#include <string>
#include <unordered_set>
#include <utility>

#include <gtest/gtest.h>

#include "core/check.hpp"
#include "core/ids.hpp"

namespace ipf {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return unexpected(ErrorCode::invalid_argument, std::to_string(number) + " is odd");
  }
  return number / 2;
}

Result<void> check_even(int number) {
  IPF_TRY(half(number));
  return {};
}

Result<std::string> describe(int number) {
  IPF_TRY(check_even(number));
  return "half of " + std::to_string(number) + " is " + std::to_string(*half(number));
}

TEST(Result, HoldsAValueOrAnError) {
  const auto good = half(4);
  EXPECT_TRUE(good);
  EXPECT_EQ(*good, 2);
  EXPECT_EQ(good.value(), 2);
  const auto bad = half(3);
  EXPECT_FALSE(bad);
  EXPECT_EQ(bad.error(), (Error{ErrorCode::invalid_argument, "3 is odd"}));
}

TEST(Result, ValueOrGivesTheSubstituteForAnError) {
  EXPECT_EQ(half(4).value_or(9), 2);
  EXPECT_EQ(half(3).value_or(9), 9);
}

TEST(Result, TryHandsTheErrorUpThroughOtherTypes) {
  EXPECT_EQ(*describe(4), "half of 4 is 2");
  ASSERT_FALSE(describe(5));
  EXPECT_EQ(describe(5).error().message, "5 is odd");
  EXPECT_TRUE(check_even(2));
}

TEST(Result, MoveOnlyValuesCanBeTakenOut) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(5));
  EXPECT_EQ(**result, 5);
  const std::unique_ptr<int> taken = *std::move(result);
  EXPECT_EQ(*taken, 5);
}

TEST(Result, TheArrowReachesTheValue) {
  Result<std::string> text(std::string("abc"));
  EXPECT_EQ(text->size(), 3U);
  text->append("d");
  EXPECT_EQ(*text, "abcd");
}

TEST(ResultDeathTest, TheWrongSideEndsTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(static_cast<void>(half(3).value()), "broken invariant 'has_value\\(\\)'");
  EXPECT_DEATH(static_cast<void>(half(4).error()), "broken invariant");
  EXPECT_DEATH(static_cast<void>(check_even(4).error()), "broken invariant");
}

TEST(CheckDeathTest, ABrokenInvariantNamesItselfAndItsPlace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int two = 2;
  IPF_CHECK(two == 2);
  EXPECT_DEATH(IPF_CHECK(two == 3), "broken invariant 'two == 3' at .*result_test.cpp");
}

TEST(Id, IdsCompareAndHashByTheirNumber) {
  EXPECT_LT(EngineId{1}, EngineId{2});
  EXPECT_EQ(EngineId{3}, EngineId{3});
  const std::unordered_set<EngineId> set{EngineId{1}, EngineId{2}, EngineId{1}};
  EXPECT_EQ(set.size(), 2U);
}

}  // namespace
}  // namespace ipf
