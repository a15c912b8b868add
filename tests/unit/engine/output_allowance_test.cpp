#include "engine/output_allowance.hpp"

#include <string>

#include <gtest/gtest.h>

namespace ipf::engine {
namespace {

constexpr const char* mark =
    "\n[more than 10 bytes of output in one request: the rest is not shown]\n";

TEST(OutputAllowanceTest, ShowsWhatFitsAndMarksTheCutOnce) {
  OutputAllowance allowance(10);
  std::string shown;
  allowance.add("12345", shown);
  allowance.add("6789", shown);
  EXPECT_FALSE(allowance.used_up());
  allowance.add("0abc", shown);
  allowance.add("def", shown);
  EXPECT_TRUE(allowance.used_up());
  EXPECT_EQ(shown, std::string("1234567890") + mark);
}

TEST(OutputAllowanceTest, NeverCutsACharacter) {
  OutputAllowance allowance(10);
  std::string shown;
  allowance.add("12345678€€", shown);
  EXPECT_EQ(shown, std::string("12345678") + mark);
}

TEST(OutputAllowanceTest, TheNextRequestHasAllOfIt) {
  OutputAllowance allowance(10);
  std::string shown;
  allowance.add("12345678901", shown);
  allowance.restart();
  shown.clear();
  allowance.add("next", shown);
  EXPECT_EQ(shown, "next");
}

TEST(OutputAllowanceTest, ZeroIsNoLimit) {
  OutputAllowance allowance(0);
  std::string shown;
  allowance.add(std::string(1000, 'x'), shown);
  EXPECT_FALSE(allowance.used_up());
  EXPECT_EQ(shown.size(), 1000U);
}

}  // namespace
}  // namespace ipf::engine
