// Fixed stories, to be read: each says what happens and what must come of it.
#include <memory>
#include <utility>
#include <vector>

#include "sim/sim_testing.hpp"

namespace ipf::sim::test {

namespace {

using std::chrono::milliseconds;

/// Nothing happens but what the test does: no workload, no faults; tasks take about 10 ms.
SimOptions quiet_options() {
  SimOptions options;
  options.busy = milliseconds{10};
  options.heartbeat_period = milliseconds{100};
  options.misses_max = 2;
  options.record_limit = 100'000;
  return options;
}

TaskPlan with_retries(int retries) {
  TaskPlan plan;
  plan.wish = std::make_unique<Wish>();
  plan.wish->retries = retries;
  return plan;
}

/// Drains the run and gives how each task ended.
std::vector<TaskChecker::Ending> endings(Simulation& run, const std::vector<std::uint32_t>& tasks) {
  run.drain();
  std::vector<TaskChecker::Ending> out;
  for (const auto task : tasks) {
    out.push_back(run.ending(task));
    EXPECT_EQ(run.answers(task), 1U) << "task " << task;
  }
  return out;
}

TEST(Scenario, AnEngineDiesWithATaskWithoutRetries) {
  Simulation run(quiet_options());
  auto& engine = run.add_engine();
  run.pass(milliseconds{100});
  const auto task = run.submit();
  run.pass(milliseconds{2});
  engine.crash();
  EXPECT_EQ(endings(run, {task})[0].engine, none)
      << "an EngineError of the scheduler is the answer";
}

TEST(Scenario, AnEngineDiesWithATaskWithRetries) {
  Simulation run(quiet_options());
  auto& first = run.add_engine();
  run.pass(milliseconds{100});
  const auto task = run.submit(with_retries(1));
  run.pass(milliseconds{2});
  run.add_engine();
  first.crash();
  const auto end = endings(run, {task})[0];
  EXPECT_NE(end.engine, none) << "another engine has run it";
  EXPECT_NE(end.engine, first.number());
}

TEST(Scenario, AFrozenEngineReturnsBeforeAnybodyMissesIt) {
  Simulation run(quiet_options());
  auto& engine = run.add_engine();
  run.pass(milliseconds{100});
  const auto task = run.submit();
  run.pass(milliseconds{2});
  engine.freeze();
  run.pass(milliseconds{150});
  EXPECT_EQ(run.controller().tasks().engine_count(), 1U);
  engine.thaw();
  EXPECT_EQ(endings(run, {task})[0].engine, engine.number());
}

/// What it had not begun goes to another engine; it comes back under its old number.
TEST(Scenario, AFrozenEngineIsGivenUpAndComesBack) {
  auto options = quiet_options();
  options.hwm = 3;
  Simulation run(options);
  auto& engine = run.add_engine();
  run.pass(milliseconds{100});
  const auto id = run.controller().hub().engines().find(std::string_view(engine_name(0)))->id;
  const std::vector<std::uint32_t> tasks{run.submit(), run.submit(), run.submit()};
  run.pass(milliseconds{1});
  engine.freeze();
  auto& other = run.add_engine();
  run.pass(milliseconds{2000});
  EXPECT_FALSE(run.controller().hub().engines().find(std::string_view(engine_name(0))));
  EXPECT_EQ(run.ending(tasks[2]).engine, other.number());
  engine.thaw();
  run.pass(milliseconds{500});
  const auto back = run.controller().hub().engines().find(std::string_view(engine_name(0)));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->id, id);
  EXPECT_EQ(endings(run, tasks)[2].engine, other.number());
}

TEST(Scenario, SixtyFourEnginesJoinWhileTenThousandTasksWait) {
  auto options = quiet_options();
  options.busy = milliseconds{1};
  options.invariants_every = 500;
  options.invariant_budget = 1'000'000;
  Simulation run(options);
  std::vector<std::uint32_t> tasks;
  for (int i = 0; i < 10'000; ++i) {
    tasks.push_back(run.submit());
  }
  run.pass(milliseconds{100});
  EXPECT_EQ(run.controller().tasks().task_count(), 10'000U);
  for (int i = 0; i < 64; ++i) {
    run.add_engine();
  }
  std::vector<std::uint32_t> by_engine(64);
  for (const auto& end : endings(run, tasks)) {
    ASSERT_NE(end.engine, none);
    if (end.engine < by_engine.size()) {
      ++by_engine[end.engine];
    }
  }
  for (const auto count : by_engine) {
    EXPECT_GT(count, 50U) << "each engine gets its share";
  }
}

/// The new controller takes the engine over under its number; its heart beats on.
TEST(Scenario, TheControllerIsKilledAndRestored) {
  Simulation run(quiet_options());
  run.add_engine();
  run.add_engine();
  run.pass(milliseconds{500});
  const auto before = run.controller().hub().engines().active();
  ASSERT_EQ(before.size(), 2U);
  const auto answered = run.submit();
  run.pass(milliseconds{100});
  ASSERT_TRUE(run.ending(answered).ended);
  run.restart_controller();
  EXPECT_EQ(run.controller().hub().engines().active(), before);
  run.pass(milliseconds{3000});
  EXPECT_EQ(run.controller().hub().engines().active(), before) << "their hearts beat";
  const auto later = run.submit();
  EXPECT_NE(endings(run, {answered, later})[1].engine, none);
}

/// An engine that died together with the controller is found out after the registration timeout.
TEST(Scenario, AnEngineDiesWhileThereIsNoController) {
  Simulation run(quiet_options());
  auto& engine = run.add_engine();
  run.pass(milliseconds{500});
  engine.crash();
  run.restart_controller();
  EXPECT_EQ(run.controller().hub().engines().active().size(), 1U);
  run.pass(milliseconds{2500});
  EXPECT_EQ(run.controller().hub().engines().active().size(), 0U);
  EXPECT_EQ(run.controller().tasks().engine_count(), 0U);
}

}  // namespace

}  // namespace ipf::sim::test
