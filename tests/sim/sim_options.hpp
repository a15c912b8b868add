#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/clock.hpp"
#include "scheduler/load_scheme.hpp"
#include "sim/path.hpp"

namespace ipf::sim {

/// A machine that was broken on purpose, between its checker and the network. The checkers must
/// find each of them; what they did not find they could not find in a real machine either.
enum class Canary {
  healthy,
  drop_engine_left,     ///< the scheduler is not told that an engine left
  drop_engine_reply,    ///< a reply never reaches the scheduler, whose slot stays taken
  drop_answer,          ///< a client never gets its reply
  double_answer,        ///< a client gets a reply twice
  swap_answers,         ///< a client gets another task's reply
  ignore_hwm,           ///< one task more on an engine than allowed
  forget_dependency,    ///< `after` is not looked at
  forget_follow,        ///< `follow` is not looked at
  forget_targets,       ///< nor are targets
  wrong_scheme,         ///< leastload places by chance
  fail_without_reason,  ///< an engine is said to have died
  drop_hub_reply,       ///< the hub does not hear of an answer
  drop_hub_assignment,  ///< nor of a task that moved
  unfair,               ///< one client is always served first
  forget_returned,      ///< the journal does not hear that a task left its engine
  forget_submitted,     ///< nor of one that was submitted
  send_first,           ///< messages leave before the journal is written
  lose_old_places,      ///< restored tasks are placed anew
  drop_broadcast_left,  ///< the broadcast scheduler is not told that an engine left
  drop_store_answer,    ///< the hub does not get an answer of its database
};
inline constexpr Canary last_canary = Canary::drop_store_answer;
const char* canary_text(Canary canary);

/// All that a run depends on. Rates are probabilities for one task, fault counts are for the run.
struct SimOptions {
  std::uint64_t seed{1};
  SchemeName scheme{SchemeName::leastload};
  std::uint32_t hwm{1};
  std::uint32_t engines{4};
  std::uint32_t clients{1};
  std::uint32_t tasks{100};

  Duration submit_gap{std::chrono::milliseconds{1}};  ///< mean distance of bursts of one client
  std::uint32_t burst{1};                             ///< tasks at once, at most
  Duration busy{std::chrono::milliseconds{5}};        ///< mean run time

  double error_rate{0.0};
  double unmet_rate{0.0};  ///< for a pair of task and engine
  double kill_rate{0.0};   ///< the task kills every engine that runs it
  double after_rate{0.0};
  double follow_rate{0.0};
  double bad_dependency_rate{0.0};  ///< of those with dependencies
  double target_rate{0.0};
  double retry_rate{0.0};
  double timeout_rate{0.0};
  double run_timeout_rate{0.0};
  double priority_rate{0.0};
  double resource_rate{0.0};
  double twice_rate{0.0};        ///< a client sends the same request again
  double direct_rate{0.0};       ///< with a burst goes a broadcast call or a direct message
  double store_fault_rate{0.0};  ///< the database fails to answer, and has no room for a while
  Duration store_delay{};        ///< its answers come so late, on average; 0: at once
  double hostile_rate{0.0};      ///< an engine answers twice or what nobody asked it
  double pong_loss{0.0};
  bool started_notes{true};  ///< engines tell when they begin with a task

  std::uint32_t crashes{0};
  std::uint32_t freezes{0};
  std::uint32_t leaves{0};
  std::uint32_t joins{0};
  std::uint32_t restarts{0};
  bool journal{false};  ///< the scheduler keeps one, and the next controller goes on with it
  bool resends{true};   ///< then: clients send again what they have no answer to, as ours do
  Duration round{};     ///< then: for so long the scheduler gathers what it writes and sends
  Duration freeze_time{std::chrono::milliseconds{500}};

  DelayModel delay{};
  Duration mailbox_delay{std::chrono::microseconds{200}};
  Duration heartbeat_period{std::chrono::milliseconds{200}};
  std::uint32_t misses_max{3};
  std::uint32_t poison_limit{3};
  Duration outbox_patience{std::chrono::seconds{5}};
  std::size_t record_limit{1024};
  Duration query_gap{std::chrono::milliseconds{20}};

  /// Machines check their invariants after a step if that costs no more than so many look-ups.
  std::size_t invariant_budget{50'000};
  std::uint64_t invariants_every{1};  ///< step, and only if the budget allows it
  Canary canary{Canary::healthy};
  bool verbose{false};
};

/// A cluster, a workload and faults, all drawn from the seed.
SimOptions random_options(std::uint64_t seed);
/// 10,000 engines and 1,000,000 tasks with some of everything: how far does it scale?
SimOptions big_options(std::uint64_t seed);
/// For people.
std::string describe(const SimOptions& options);

}  // namespace ipf::sim
