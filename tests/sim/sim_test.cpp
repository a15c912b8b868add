#include <cstdlib>
#include <set>
#include <string>

#include "sim/sim_testing.hpp"

namespace ipf::sim::test {

namespace {

/// Random clusters, workloads and faults. IPF_SIM_SEED moves the window, so that not all runs try
/// the same seeds.
class RandomSeeds : public ::testing::TestWithParam<int> {};

TEST_P(RandomSeeds, EveryTaskEndsOnceAndNothingLeaks) {
  constexpr std::uint64_t seeds_each = 40;
  name_seed_on_abort();
  const char* given = std::getenv("IPF_SIM_SEED");
  const std::uint64_t first = (given == nullptr ? 1 : std::strtoull(given, nullptr, 10)) +
                              static_cast<std::uint64_t>(GetParam()) * seeds_each;
  for (std::uint64_t seed = first; seed < first + seeds_each; ++seed) {
    const auto report = run_seed(random_options(seed));
    ASSERT_TRUE(report.passed) << describe(random_options(seed)) << "\n"
                               << report.failure << "\nreproduce: ipf_sim --seed " << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(Simulation, RandomSeeds, ::testing::Range(0, 8));

/// 3628: a task behind its run_timeout was restored as one that ended on its engine.
TEST(Simulation, SeedsThatFailedOnce) {
  name_seed_on_abort();
  for (const std::uint64_t seed : {3628U}) {
    const auto report = run_seed(random_options(seed));
    EXPECT_TRUE(report.passed) << report.failure << "\nreproduce: ipf_sim --seed " << seed;
  }
}

TEST(Simulation, IsTheSameEachTime) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto once = run_seed(random_options(seed));
    const auto again = run_seed(random_options(seed));
    EXPECT_EQ(once.digest, again.digest) << "seed " << seed;
    EXPECT_EQ(once.steps, again.steps) << "seed " << seed;
  }
}

TEST(Simulation, SeedsDiffer) {
  std::set<std::uint64_t> digests;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    digests.insert(run_seed(random_options(seed)).digest);
  }
  EXPECT_EQ(digests.size(), 20U);
}

/// Without faults nothing may be excused: each task gets its own result.
TEST(Simulation, AHealthyClusterAnswersEverything) {
  SimOptions options;
  options.tasks = 500;
  options.hwm = 2;
  const auto report = run_seed(options);
  EXPECT_TRUE(report.passed) << report.failure;
  EXPECT_EQ(report.succeeded, 500U);
}

// ---- canaries -----------------------------------------------------------------------------------

/// A workload in which every feature that a canary breaks is used a lot.
SimOptions canary_options(Canary canary, std::uint64_t seed) {
  SimOptions options;
  options.seed = seed;
  options.canary = canary;
  options.hwm = 2;
  options.engines = 6;
  options.tasks = 200;
  options.clients = 2;
  options.submit_gap = std::chrono::microseconds{500};
  options.error_rate = 0.2;
  options.retry_rate = 0.5;
  options.after_rate = 0.3;
  options.target_rate = canary == Canary::forget_targets ? 0.5 : 0.0;
  options.follow_rate = canary == Canary::forget_follow ? 0.3 : 0.0;
  options.crashes = 4;
  options.record_limit = 10'000;
  if (canary == Canary::wrong_scheme) {
    options.hwm = 8;
  } else if (canary == Canary::send_first) {
    // What was sent and not written must find another engine than the one that has it.
    options.retry_rate = 0.0;
    options.journal = true;
    options.engines = 40;
    options.hwm = 1;
    options.tasks = 800;
    options.restarts = 100;
    options.round = std::chrono::milliseconds{5};
  } else if (canary == Canary::unfair) {
    options.burst = 40;
    options.after_rate = 0.0;
  } else if (canary == Canary::drop_broadcast_left) {
    options.direct_rate = 1.0;
  } else if (canary == Canary::drop_store_answer) {
    options.store_delay = std::chrono::milliseconds{1};
  } else if (canary >= Canary::forget_returned) {
    options.journal = true;
    options.restarts = 4;
    options.round = std::chrono::milliseconds{1};
    options.unmet_rate = 0.3;
  }
  return options;
}

class BrokenMachine : public ::testing::TestWithParam<int> {};

TEST_P(BrokenMachine, IsFound) {
  const auto canary = static_cast<Canary>(GetParam());
  int found = 0;
  std::string last;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto report = run_seed(canary_options(canary, seed));
    found += report.passed ? 0 : 1;
    last = report.failure;
  }
  EXPECT_GE(found, 4) << canary_text(canary) << " was found in " << found << " runs of 5";
  RecordProperty("failure", last);
}

INSTANTIATE_TEST_SUITE_P(Canaries,
                         BrokenMachine,
                         ::testing::Range(1, static_cast<int>(last_canary) + 1),
                         [](const auto& canary) {
                           return std::string(canary_text(static_cast<Canary>(canary.param)));
                         });

/// The same workload with a machine that is whole: what the canary test finds is the canary.
TEST(BrokenMachine, IsNotFoundWhereNothingIsBroken) {
  for (const auto canary :
       {Canary::healthy, Canary::forget_targets, Canary::forget_follow, Canary::forget_returned,
        Canary::wrong_scheme, Canary::send_first, Canary::unfair, Canary::drop_broadcast_left,
        Canary::drop_store_answer}) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      auto options = canary_options(canary, seed);
      options.canary = Canary::healthy;
      const auto report = run_seed(options);
      EXPECT_TRUE(report.passed) << "seed " << seed << ": " << report.failure;
    }
  }
}

// ---- size ---------------------------------------------------------------------------------------

TEST(BigCluster, TenThousandEnginesAndAMillionTasks) {
  name_seed_on_abort();
  const auto report = run_seed(big_options(1));
  EXPECT_TRUE(report.passed) << report.failure << "\nreproduce: ipf_sim --scenario big --seed 1";
  EXPECT_GE(report.tasks, 1'000'000U);
}

}  // namespace

}  // namespace ipf::sim::test
