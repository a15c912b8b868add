#include "protocol/seen_signatures.hpp"

#include <atomic>
#include <barrier>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "protocol/replay_guard.hpp"

namespace ipf {
namespace {

std::vector<std::uint64_t> random_keys(std::size_t count, std::uint64_t seed = 1) {
  Rng rng(seed);
  std::vector<std::uint64_t> out(count);
  for (auto& key : out) {
    key = rng.next();
  }
  return out;
}

TEST(SeenSignatures, EachPassesOnce) {
  SeenSignatures seen(64);
  for (const std::uint64_t key : random_keys(64)) {
    EXPECT_TRUE(seen.insert(key));
    EXPECT_FALSE(seen.insert(key));
  }
}

TEST(SeenSignatures, ASetKeepsItsLastEight) {
  SeenSignatures seen(1);
  // So many that the numbers of a set, 16 bits, wrap around.
  const auto keys = random_keys(200'000);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ASSERT_TRUE(seen.insert(keys[i])) << i;
    ASSERT_FALSE(seen.insert(keys[i >= 7 ? i - 7 : 0])) << i;
  }
  EXPECT_TRUE(seen.insert(keys[keys.size() - 9])) << "memory is bounded, so the oldest go";
}

TEST(SeenSignatures, HardlyOneOfTheLastTwoForEachSetIsForgotten) {
  constexpr std::size_t sets = 4096;
  SeenSignatures seen(sets);
  const auto keys = random_keys(20 * sets);
  for (const std::uint64_t key : keys) {
    ASSERT_TRUE(seen.insert(key));
  }
  std::size_t forgotten = 0;
  for (std::size_t i = keys.size() - 2 * sets; i < keys.size(); ++i) {
    forgotten += seen.insert(keys[i]) ? 1U : 0U;
  }
  EXPECT_LT(forgotten, 2 * sets / 1000) << "of " << 2 * sets;
}

TEST(SeenSignatures, AZeroIsASignatureLikeAnyOther) {
  SeenSignatures seen(16);
  EXPECT_TRUE(seen.insert(0));
  EXPECT_FALSE(seen.insert(0));
}

/// Threads insert the same signatures at the same time: each is first sight to exactly one.
TEST(SeenSignatures, OneOfManyThreadsIsFirst) {
  constexpr std::size_t threads = 4;
  constexpr std::size_t rounds = 2000;
  constexpr std::size_t at_once = 4;  // per round, into one set that holds eight
  SeenSignatures seen(1);
  const auto keys = random_keys(rounds * at_once);
  std::vector<std::atomic<int>> firsts(keys.size());
  std::barrier together(threads);
  {
    std::vector<std::jthread> crew;
    for (std::size_t t = 0; t < threads; ++t) {
      crew.emplace_back([&, t] {
        for (std::size_t round = 0; round < rounds; ++round) {
          together.arrive_and_wait();
          for (std::size_t i = 0; i < at_once; ++i) {
            const std::size_t which = round * at_once + (i + t) % at_once;
            firsts[which] += seen.insert(keys[which]) ? 1 : 0;
          }
        }
      });
    }
  }
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    ASSERT_EQ(firsts[i], 1) << i;
  }
}

TEST(SeenSignatures, GuardsThatShareItRefuseWhatAnotherHasSeen) {
  SeenSignatures seen;
  ReplayGuard tasks(seen);
  ReplayGuard direct(seen);
  ReplayGuard other;
  const std::string signature(64, 'a');
  EXPECT_TRUE(tasks.first_sight(signature));
  EXPECT_FALSE(direct.first_sight(signature));
  EXPECT_FALSE(tasks.first_sight(signature));
  EXPECT_TRUE(other.first_sight(signature));
}

}  // namespace
}  // namespace ipf
