#include "core/rng.hpp"

#include <array>
#include <cstdint>
#include <set>

#include <gtest/gtest.h>

namespace ipf {
namespace {

TEST(Rng, GivesTheNumbersOfThePaper) {
  Rng rng(1234567);
  const std::array<std::uint64_t, 5> published{6457827717110365317ULL, 3203168211198807973ULL,
                                               9817491932198370423ULL, 4593380528125082431ULL,
                                               16408922859458223821ULL};
  for (const auto number : published) {
    EXPECT_EQ(rng.next(), number);
  }
}

TEST(Rng, EqualSeedsGiveEqualNumbersAndOthersDiffer) {
  Rng a(7);
  Rng b(7);
  Rng c(8);
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const auto number = a.next();
    EXPECT_EQ(number, b.next());
    differs = differs || number != c.next();
  }
  EXPECT_TRUE(differs);
}

TEST(Rng, BelowReachesEachNumberUnderTheBoundAboutEquallyOften) {
  Rng rng(42);
  constexpr std::uint64_t bound = 7;
  constexpr int draws = 70'000;
  std::array<int, bound> counts{};
  for (int i = 0; i < draws; ++i) {
    const auto number = rng.below(bound);
    ASSERT_LT(number, bound);
    ++counts.at(number);
  }
  for (const int count : counts) {  // four standard deviations are 370
    EXPECT_NEAR(count, draws / static_cast<int>(bound), 400);
  }
}

TEST(Rng, BelowOneIsZeroAndHugeBoundsWork) {
  Rng rng(1);
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(rng.below(1), 0U);
    seen.insert(rng.below(~std::uint64_t{0}));
  }
  EXPECT_EQ(seen.size(), 100U);
}

TEST(Rng, UnitIsFromZeroToBelowOneWithMeanOneHalf) {
  Rng rng(3);
  double sum = 0;
  constexpr int draws = 10'000;
  for (int i = 0; i < draws; ++i) {
    const double number = rng.unit();
    ASSERT_GE(number, 0.0);
    ASSERT_LT(number, 1.0);
    sum += number;
  }
  EXPECT_NEAR(sum / draws, 0.5, 0.02);
}

}  // namespace
}  // namespace ipf
