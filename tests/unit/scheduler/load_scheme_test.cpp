#include "scheduler/load_scheme.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

using Engines = std::vector<EngineLoad>;  // in any order

double weight(const EngineLoad& engine) {
  return 1.0 / (1e-6 + engine.load);
}

/// How often each slot should be chosen, straight from protocol.md 5.2 and without any index.
std::map<EngineSlot, double> expected_shares(SchemeName scheme, Engines engines) {
  std::ranges::sort(engines, {}, &EngineLoad::stamp);  // the reference's LRU order
  std::map<EngineSlot, double> shares;
  const auto size = static_cast<double>(engines.size());
  if (scheme == SchemeName::leastload) {
    shares[std::ranges::min_element(engines, {}, &EngineLoad::load)->slot] =
        1;  // the first minimum
    return shares;
  }
  if (scheme == SchemeName::lru || scheme == SchemeName::pure) {
    shares[engines.front().slot] = 1;
    return shares;
  }
  double total = 0;
  for (const auto& engine : engines) {
    total += weight(engine);
  }
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (scheme == SchemeName::plainrandom) {
      shares[engines[i].slot] += 1 / size;
      continue;
    }
    for (std::size_t j = 0; j < engines.size(); ++j) {
      if (scheme == SchemeName::twobin) {
        shares[engines[std::min(i, j)].slot] += 1 / (size * size);
      } else {
        const auto& chosen = weight(engines[j]) > weight(engines[i]) ? engines[j] : engines[i];
        shares[chosen.slot] += weight(engines[i]) / total * weight(engines[j]) / total;
      }
    }
  }
  return shares;
}

/// Draws often and compares the shares; `draws` is one for schemes without chance.
void expect_shares(
    SchemeName scheme, const LoadScheme& index, const Engines& engines, int draws, Rng& rng) {
  std::map<EngineSlot, int> counts;
  for (int i = 0; i < draws; ++i) {
    const auto slot = index.pick(rng);
    ASSERT_TRUE(slot);
    ++counts[*slot];
  }
  const auto shares = expected_shares(scheme, engines);
  for (const auto& engine : engines) {
    const double expected = shares.contains(engine.slot) ? shares.at(engine.slot) : 0;
    const double deviation = std::sqrt(expected * (1 - expected) / draws);
    EXPECT_NEAR(static_cast<double>(counts[engine.slot]) / draws, expected, 5 * deviation + 1e-9)
        << scheme_text(scheme) << ": slot " << engine.slot << " load " << engine.load;
  }
}

const std::vector<SchemeName> all_schemes{SchemeName::leastload,   SchemeName::lru,
                                          SchemeName::plainrandom, SchemeName::twobin,
                                          SchemeName::weighted,    SchemeName::pure};

bool by_chance(SchemeName scheme) {
  return scheme == SchemeName::plainrandom || scheme == SchemeName::twobin ||
         scheme == SchemeName::weighted;
}

TEST(SchemeNames, AreReadAndWritten) {
  for (const std::string name :
       {"leastload", "lru", "plainrandom", "twobin", "weighted", "pure", "none"}) {
    const auto scheme = parse_scheme(name);
    ASSERT_TRUE(scheme) << name;
    EXPECT_EQ(scheme_text(*scheme), name);
  }
  const auto wrong = parse_scheme("LRU");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().message,
            "scheme 'LRU' is none of leastload, lru, plainrandom, twobin, weighted, pure, none");
}

TEST(LoadScheme, AnEmptyIndexPicksNothing) {
  Rng rng(1);
  for (const auto scheme : all_schemes) {
    const auto index = LoadScheme::create(scheme);
    EXPECT_EQ(index->pick(rng), std::nullopt);
    EXPECT_EQ(index->size(), 0U);
    EXPECT_EQ(pick_among(scheme, {}, rng), std::nullopt);
  }
}

TEST(LoadScheme, LeastloadTakesTheFirstMinimumInLruOrder) {
  Rng rng(1);
  const Engines engines{{.slot = 0, .load = 2, .stamp = 1},
                        {.slot = 1, .load = 1, .stamp = 9},
                        {.slot = 2, .load = 1, .stamp = 5}};
  EXPECT_EQ(pick_among(SchemeName::leastload, engines, rng), 2U);
}

TEST(LoadScheme, LruLooksAtNoLoad) {
  Rng rng(1);
  const Engines engines{{.slot = 0, .load = 7, .stamp = 1}, {.slot = 1, .load = 0, .stamp = 2}};
  EXPECT_EQ(pick_among(SchemeName::lru, engines, rng), 0U);
}

TEST(LoadScheme, ChoicesHaveTheSharesOfTheReference) {
  Rng rng(20'261'121);
  const Engines engines{{.slot = 3, .load = 1, .stamp = 40},
                        {.slot = 1, .load = 2, .stamp = 10},
                        {.slot = 7, .load = 1, .stamp = 30},
                        {.slot = 0, .load = 4, .stamp = 20},
                        {.slot = 5, .load = 9, .stamp = 50}};
  for (const auto scheme : all_schemes) {
    const auto index = LoadScheme::create(scheme);
    for (const auto& engine : engines) {
      index->add(engine);
    }
    expect_shares(scheme, *index, engines, by_chance(scheme) ? 50'000 : 1, rng);
  }
}

TEST(LoadScheme, WeightedAlmostAlwaysTakesAnIdleEngine) {
  Rng rng(5);
  const Engines engines{{.slot = 0, .load = 1, .stamp = 1},
                        {.slot = 1, .load = 0, .stamp = 2},
                        {.slot = 2, .load = 1, .stamp = 3}};
  int idle = 0;
  for (int i = 0; i < 1000; ++i) {
    idle += pick_among(SchemeName::weighted, engines, rng) == 1U ? 1 : 0;
  }
  EXPECT_GE(idle, 999);
}

/// Adds, removes and changes engines at random; the index must always choose as if built afresh.
TEST(LoadScheme, TheIndexForgetsAndRemembersLikeAFreshOne) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  for (const auto scheme : all_schemes) {
    const auto index = LoadScheme::create(scheme);
    Engines engines;
    std::uint64_t stamp = 1;
    for (int step = 0; step < 600; ++step) {
      const auto kind = rng.below(3);
      if (kind == 0 || engines.empty()) {
        EngineSlot slot = 0;
        while (std::ranges::find(engines, slot, &EngineLoad::slot) != engines.end()) {
          ++slot;
        }
        engines.push_back(
            {.slot = slot, .load = static_cast<std::uint32_t>(rng.below(4)), .stamp = ++stamp});
        index->add(engines.back());
      } else {
        const std::size_t at = rng.below(engines.size());
        index->remove(engines[at]);
        if (kind == 1) {
          engines.erase(engines.begin() + static_cast<std::ptrdiff_t>(at));
        } else {
          engines[at].load = static_cast<std::uint32_t>(rng.below(4));
          engines[at].stamp = ++stamp;
          index->add(engines[at]);
        }
      }
      ASSERT_EQ(index->size(), engines.size());
      const auto slot = index->pick(rng);
      ASSERT_EQ(slot.has_value(), !engines.empty());
      if (!slot) {
        continue;
      }
      const auto shares = expected_shares(scheme, engines);
      ASSERT_TRUE(shares.contains(*slot) && shares.at(*slot) > 0)
          << scheme_text(scheme) << " chose a wrong engine";
    }
    if (by_chance(scheme) && !engines.empty()) {
      expect_shares(scheme, *index, engines, 20'000, rng);
    }
  }
}

TEST(LoadSchemeDeathTest, AnEngineIsInTheIndexAtMostOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const auto scheme : {SchemeName::leastload, SchemeName::twobin, SchemeName::weighted}) {
    const auto index = LoadScheme::create(scheme);
    index->add({.slot = 1, .load = 0, .stamp = 1});
    EXPECT_DEATH(index->add({.slot = 1, .load = 0, .stamp = 1}), "broken invariant");
    EXPECT_DEATH(index->remove({.slot = 2, .load = 0, .stamp = 2}), "broken invariant");
  }
}

}  // namespace
}  // namespace ipf
