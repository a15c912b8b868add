#include "sim/sim_options.hpp"

#include <array>
#include <cstdio>
#include <iterator>

#include "core/rng.hpp"

namespace ipf::sim {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Between both, small values more often than large ones.
Duration log_uniform(Rng& rng, Duration least, Duration most) {
  double value = static_cast<double>(least.count());
  const double top = static_cast<double>(most.count());
  const double steps = rng.unit() * 16;
  for (double i = 0; i < steps && value < top; ++i) {
    value *= 1.8;
  }
  return Duration{static_cast<std::int64_t>(value < top ? value : top)};
}

/// A feature is left out of half of the runs, so that runs differ in more than figures.
double rate(Rng& rng, double most) {
  return rng.below(2) == 0 ? 0.0 : rng.unit() * most;
}

std::uint32_t count(Rng& rng, std::uint32_t most) {
  return rng.below(2) == 0 ? 0U : 1U + static_cast<std::uint32_t>(rng.below(most));
}

}  // namespace

const char* canary_text(Canary canary) {
  constexpr std::array texts{"none",
                             "drop_engine_left",
                             "drop_engine_reply",
                             "drop_answer",
                             "double_answer",
                             "swap_answers",
                             "ignore_hwm",
                             "forget_dependency",
                             "forget_follow",
                             "forget_targets",
                             "wrong_scheme",
                             "fail_without_reason",
                             "drop_hub_reply",
                             "drop_hub_assignment",
                             "unfair",
                             "forget_returned",
                             "forget_submitted",
                             "send_first",
                             "lose_old_places",
                             "drop_broadcast_left",
                             "drop_store_answer"};
  static_assert(texts.size() == static_cast<std::size_t>(last_canary) + 1);
  return texts.at(static_cast<std::size_t>(canary));
}

SimOptions random_options(std::uint64_t seed) {
  Rng rng(seed * 0x9E3779B97F4A7C15ULL + 1);
  SimOptions out;
  out.seed = seed;
  constexpr std::array schemes{SchemeName::leastload,   SchemeName::leastload, SchemeName::lru,
                               SchemeName::plainrandom, SchemeName::twobin,    SchemeName::weighted,
                               SchemeName::pure,        SchemeName::none};
  out.scheme = schemes.at(rng.below(schemes.size()));
  constexpr std::array<std::uint32_t, 6> hwms{1, 1, 2, 3, 8, 0};
  out.hwm = hwms.at(rng.below(hwms.size()));
  out.engines = 1 + static_cast<std::uint32_t>(rng.below(12));
  out.clients = 1 + static_cast<std::uint32_t>(rng.below(4));
  out.tasks = 20 + static_cast<std::uint32_t>(rng.below(180));
  out.submit_gap = log_uniform(rng, microseconds{100}, milliseconds{20});
  out.burst = 1 + static_cast<std::uint32_t>(rng.below(2) * rng.below(64));
  out.busy = log_uniform(rng, microseconds{200}, milliseconds{50});
  out.error_rate = rate(rng, 0.4);
  out.unmet_rate = rate(rng, 0.3);
  out.kill_rate = rate(rng, 0.04);
  out.after_rate = rate(rng, 0.6);
  out.follow_rate = rate(rng, 0.4);
  out.bad_dependency_rate = rate(rng, 0.1);
  out.target_rate = rate(rng, 0.4);
  out.retry_rate = rate(rng, 0.6);
  out.timeout_rate = rate(rng, 0.3);
  out.run_timeout_rate = rate(rng, 0.3);
  out.priority_rate = rate(rng, 0.5);
  out.resource_rate = rate(rng, 0.4);
  out.twice_rate = rate(rng, 0.1);
  out.hostile_rate = rate(rng, 0.2);
  out.pong_loss = rate(rng, 0.1);
  out.started_notes = rng.below(4) != 0;
  out.crashes = count(rng, 5);
  out.freezes = count(rng, 5);
  out.leaves = count(rng, 3);
  out.joins = count(rng, 6);
  out.restarts = rng.below(4) == 0 ? 1 : 0;
  out.freeze_time = log_uniform(rng, milliseconds{20}, milliseconds{4000});
  out.delay.least = log_uniform(rng, microseconds{5}, milliseconds{2});
  out.delay.more = log_uniform(rng, microseconds{5}, milliseconds{5});
  out.delay.spike_chance = rate(rng, 0.02);
  out.mailbox_delay = log_uniform(rng, microseconds{1}, milliseconds{2});
  out.heartbeat_period = log_uniform(rng, milliseconds{50}, milliseconds{1000});
  out.misses_max = 1 + static_cast<std::uint32_t>(rng.below(5));
  out.poison_limit = static_cast<std::uint32_t>(rng.below(4));
  out.outbox_patience = rng.below(2) == 0 ? milliseconds{5000} : milliseconds{100};
  out.record_limit = rng.below(4) == 0 ? 1 + rng.below(100) : 100'000;
  out.query_gap = milliseconds{5 + static_cast<std::int64_t>(rng.below(100))};
  out.direct_rate = rate(rng, 0.5);
  out.store_fault_rate = rate(rng, 0.2);
  out.store_delay =
      rng.below(2) == 0 ? Duration{} : log_uniform(rng, microseconds{50}, milliseconds{50});
  out.journal = rng.below(2) == 0;
  if (out.journal) {
    out.restarts = count(rng, 3);
    out.resends = rng.below(4) != 0;
    out.round =
        rng.below(4) == 0 ? Duration{} : log_uniform(rng, microseconds{10}, milliseconds{5});
  }
  return out;
}

SimOptions big_options(std::uint64_t seed) {
  SimOptions out;
  out.seed = seed;
  out.hwm = 4;
  out.engines = 10'000;
  out.clients = 8;
  out.tasks = 1'000'000;
  out.submit_gap = milliseconds{1};
  out.burst = 250;
  out.busy = milliseconds{10};
  out.error_rate = 0.01;
  out.unmet_rate = 0.0;
  out.after_rate = 0.05;
  out.target_rate = 0.01;
  out.retry_rate = 0.05;
  out.priority_rate = 0.05;
  out.crashes = 100;
  out.freezes = 50;
  out.joins = 100;
  out.heartbeat_period = milliseconds{3000};
  out.misses_max = 1;
  out.query_gap = milliseconds{500};
  out.invariant_budget = 5'000'000;
  out.invariants_every = 50'000;
  return out;
}

std::string describe(const SimOptions& options) {
  std::array<char, 512> text{};
  std::snprintf(
      text.data(), text.size(),
      "%s hwm %u, %u engines, %u clients, %u tasks; error %.2f unmet %.2f kill %.2f after %.2f "
      "follow %.2f target %.2f retry %.2f timeout %.2f run_timeout %.2f priority %.2f resource "
      "%.2f twice %.2f hostile %.2f; crashes %u freezes %u leaves %u joins %u restarts %u%s",
      std::string(scheme_text(options.scheme)).c_str(), options.hwm, options.engines,
      options.clients, options.tasks, options.error_rate, options.unmet_rate, options.kill_rate,
      options.after_rate, options.follow_rate, options.target_rate, options.retry_rate,
      options.timeout_rate, options.run_timeout_rate, options.priority_rate, options.resource_rate,
      options.twice_rate, options.hostile_rate, options.crashes, options.freezes, options.leaves,
      options.joins, options.restarts, options.journal ? " with a journal" : "");
  return text.data();
}

}  // namespace ipf::sim
