// Random scripts with everything that a task may ask for, against a model that knows what is
// allowed. Placement by scheme is in task_machine_property_test.cpp; here it is when and where at
// all, in which order, and that everything ends. Load and resources are check_invariants' part.
#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "scheduler/task_machine.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

constexpr std::size_t open_max = 60;

struct Open {
  int order{};
  test::TaskWish wish{};
  std::string engine{};  ///< that has it; empty: none
  bool engine_left{false};
  bool sent{false};  ///< at least once

  [[nodiscard]] bool plain() const {
    return wish.targets.empty() && wish.after.empty() && wish.follow.empty() &&
           wish.resources.empty();
  }
};
struct Ended {
  bool succeeded{false};
  std::string engine{};
};

class PolicyModel {
 public:
  PolicyModel(std::uint64_t seed, std::uint32_t hwm)
      : rng_(seed),
        machine_({.hwm = hwm,
                  .lost_engine_grace = test::ms(50),
                  .seed = seed,
                  .finished_max = 100'000,
                  .poison_limit = 2,
                  .interrupt_grace = test::ms(30),
                  .interrupt_settle = test::ms(10)}) {}

  void random_step() {
    const std::string engine = "e" + std::to_string(rng_.below(5));
    switch (rng_.below(16)) {
      case 0:
        return join(engine, rng_.below(5));
      case 1:
        return rng_.below(3) == 0 ? leave(engine, rng_.below(2) == 0) : pass(rng_.below(20));
      case 2:
        return pass(rng_.below(60));
      case 3:
        suspected_.insert(engine);
        return step(EngineSuspected{.uuid = engine});
      case 4:
        suspected_.erase(engine);
        return step(EngineTrusted{.uuid = engine});
      case 5:
        return step(TaskStarted{.msg_id = any_task(), .engine_uuid = engine});
      case 6:
        return step(TaskReplied{.msg_id = any_task(),
                                .engine_uuid = "stranger",
                                .reply = test::reply_message("stranger", "bad")});
      case 7:
      case 8:
      case 9:
      case 10:
        return submit();
      default:
        return reply(rng_.below(10) < 7, rng_.below(12) > 0);
    }
  }

  /// Faults end; everything must end too.
  void run_dry() {
    for (int engine = 0; engine < 5; ++engine) {
      leave("e" + std::to_string(engine), false);
    }
    pass(1000);
    for (int round = 0; round < 5000 && !open_.empty(); ++round) {
      if (running().empty()) {
        join("fresh" + std::to_string(round), 9);  // for tasks that every other engine refused
        pass(100);
      } else {
        reply(true, true);
      }
    }
    EXPECT_TRUE(open_.empty()) << open_.size() << " never ended, one of them " << open_reason();
    pass(1000);
    EXPECT_EQ(machine_.next_deadline(), TimePoint::never());
    EXPECT_EQ(machine_.task_count(), 0U);
    for (const auto& uuid : engines_) {
      EXPECT_EQ(machine_.load_of(uuid), 0U) << "a slot of " << uuid << " leaked";
    }
  }
  [[nodiscard]] std::size_t ended() const { return ended_.size(); }

 private:
  // ---- events -----------------------------------------------------------------------------------

  void submit() {
    if (open_.size() >= open_max) {
      return reply(true, true);  // the checks after each step look at all open tasks
    }
    const std::string id = "t" + std::to_string(++last_);
    Open task{.order = last_};
    auto& wish = task.wish;
    wish.client = rng_.below(3);
    wish.priority = rng_.below(4) == 0 ? static_cast<int>(rng_.below(3)) - 1 : 0;
    wish.retries = rng_.below(4) == 0 ? static_cast<int>(rng_.below(3)) : 0;
    wish.timeout_ms = rng_.below(6) == 0 ? 1 + static_cast<std::int64_t>(rng_.below(200)) : 0;
    wish.run_timeout_ms = rng_.below(6) == 0 ? 1 + static_cast<std::int64_t>(rng_.below(60)) : 0;
    if (rng_.below(5) == 0) {
      wish.targets = {"e" + std::to_string(rng_.below(5)), "e" + std::to_string(rng_.below(5))};
    }
    if (rng_.below(5) == 0) {
      wish.resources["gpu"] = static_cast<double>(1 + rng_.below(4));
    }
    if (rng_.below(3) == 0) {
      wish.after = dependency();
    }
    if (rng_.below(6) == 0) {
      wish.follow = dependency();
    }
    open_.emplace(id, task);
    step(TaskSubmitted{.msg_id = id,
                       .options = test::options_of(wish),
                       .request = test::request_message(id),
                       .client = wish.client});
  }

  DependencySpec dependency() {
    DependencySpec spec;
    for (std::uint64_t i = 0; i <= rng_.below(3) && last_ > 1; ++i) {
      const auto back = 1 + rng_.below(static_cast<std::uint64_t>(std::min(15, last_ - 1)));
      spec.msg_ids.push_back("t" + std::to_string(last_ - static_cast<int>(back)));
    }
    spec.all = rng_.below(2) == 0;
    spec.failure = rng_.below(3) == 0;
    spec.success = !spec.failure || rng_.below(2) == 0;
    return spec;
  }

  void join(const std::string& uuid, std::uint64_t gpus) {
    if (engines_.insert(uuid).second) {
      suspected_.erase(uuid);
    }
    step(EngineJoined{.uuid = uuid, .resources = {{"gpu", static_cast<double>(gpus)}}});
  }

  void leave(const std::string& uuid, bool silent) {
    engines_.erase(uuid);
    suspected_.erase(uuid);
    for (auto& [id, task] : open_) {
      task.engine_left = task.engine_left || task.engine == uuid;
    }
    step(EngineLeft{.uuid = uuid, .silent = silent});
  }

  void pass(std::uint64_t milliseconds) {
    now_ = now_ + test::ms(static_cast<std::int64_t>(milliseconds));
    step(TaskTimePassed{});
    EXPECT_GT(machine_.next_deadline(), now_);
  }

  void reply(bool succeeded, bool met) {
    const auto ids = running();
    if (ids.empty()) {
      return;
    }
    const std::string id = ids[rng_.below(ids.size())];
    const std::string engine = std::exchange(open_.at(id).engine, {});
    open_.at(id).engine_left = false;
    step(TaskReplied{.msg_id = id,
                     .engine_uuid = engine,
                     .succeeded = succeeded,
                     .dependencies_met = met,
                     .reply = test::reply_message(engine, succeeded ? "good" : "bad")});
  }

  // ---- the machine's answers --------------------------------------------------------------------

  void step(TaskEvent event) {
    TaskActions actions;
    machine_.step(now_, std::move(event), actions);
    machine_.check_invariants();
    for (const auto& action : actions) {
      std::visit([&](const auto& concrete) { check(concrete); }, action);
    }
    EXPECT_EQ(machine_.task_count(), open_.size());
  }

  void check(const SendTask& action) {
    const auto found = open_.find(action.msg_id);
    ASSERT_NE(found, open_.end()) << action.msg_id << " was sent after its end";
    Open& task = found->second;
    const auto& wish = task.wish;
    const std::string& engine = action.engine_uuid;
    EXPECT_TRUE(task.engine.empty() || task.engine_left) << action.msg_id << " was sent twice";
    EXPECT_TRUE(engines_.contains(engine) && !suspected_.contains(engine)) << engine;
    EXPECT_TRUE(wish.targets.empty() ||
                std::ranges::find(wish.targets, engine) != wish.targets.end());
    EXPECT_TRUE(met(wish.after, {})) << action.msg_id << " began too early";
    EXPECT_TRUE(met(wish.follow, engine)) << action.msg_id << " follows to " << engine;
    if (!task.sent && task.plain()) {
      check_order(action.msg_id, task);
    }
    task.engine = engine;
    task.engine_left = false;
    task.sent = true;
  }

  void check_order(const std::string& id, const Open& task) {
    for (const auto& [other_id, other] : open_) {
      if (other.sent || !other.plain()) {
        continue;
      }
      EXPECT_FALSE(other.wish.priority > task.wish.priority)
          << id << " overtook the more urgent " << other_id;
      EXPECT_FALSE(other.wish.priority == task.wish.priority &&
                   other.wish.client == task.wish.client && other.order < task.order)
          << id << " overtook " << other_id;
    }
  }

  /// For `follow` with the engine's name: there.
  [[nodiscard]] bool met(const DependencySpec& spec, const std::string& engine) const {
    const auto counts = [&](const std::string& id) {
      const auto found = ended_.find(id);
      return found != ended_.end() && (found->second.succeeded ? spec.success : spec.failure) &&
             (engine.empty() || found->second.engine == engine);
    };
    return spec.msg_ids.empty() || (spec.all ? std::ranges::all_of(spec.msg_ids, counts)
                                             : std::ranges::any_of(spec.msg_ids, counts));
  }

  void check(const ForwardReply& action) {
    end(action.msg_id,
        {.succeeded = action.reply.content() == "good", .engine = action.engine_uuid});
  }

  void check(const FailTask& action) {
    const auto found = open_.find(action.msg_id);
    ASSERT_NE(found, open_.end()) << action.msg_id << " ended twice";
    const auto& wish = found->second.wish;
    const std::string& name = action.failure.ename;
    if (name == "PoisonTask") {
      EXPECT_GT(wish.retries, 0);
    } else if (name == "TaskTimeout") {
      EXPECT_TRUE(action.engine_uuid.empty() ? wish.timeout_ms > 0 : wish.run_timeout_ms > 0);
    } else if (name == "ImpossibleDependency") {
      EXPECT_TRUE(!wish.targets.empty() || !wish.after.empty() || !wish.follow.empty());
    } else {
      EXPECT_EQ(name, "EngineError");
    }
    end(action.msg_id, {});
  }

  void check(const NoteSubmission& action) { EXPECT_TRUE(open_.contains(action.msg_id)); }
  void check(const NoteReturn& action) { EXPECT_TRUE(open_.contains(action.msg_id)); }
  void check(const InterruptTask& action) {
    EXPECT_GT(open_.at(action.msg_id).wish.run_timeout_ms, 0);
    EXPECT_EQ(open_.at(action.msg_id).engine, action.engine_uuid);
  }
  void check(const AbortAtEngine& action) {
    EXPECT_TRUE(open_.at(action.msg_id).engine_left);
    open_.at(action.msg_id).engine.clear();
    open_.at(action.msg_id).engine_left = false;
  }
  void check(const AnswerAgain& /*action*/) { ADD_FAILURE() << "names are used once"; }
  void check(const TaskLog& /*action*/) {}

  void end(const std::string& id, const Ended& how) {
    ASSERT_EQ(open_.erase(id), 1U) << id << " ended twice";
    ended_[id] = how;
  }

  [[nodiscard]] std::vector<std::string> running() const {
    std::vector<std::string> out;
    for (const auto& [id, task] : open_) {
      if (!task.engine.empty()) {
        out.push_back(id);
      }
    }
    return out;
  }
  std::string any_task() {
    return "t" + std::to_string(rng_.below(static_cast<std::uint64_t>(last_) + 1));
  }
  [[nodiscard]] std::string open_reason() const {
    return open_.empty() ? "none" : machine_.explain(now_, open_.begin()->first).reason;
  }

  Rng rng_;
  TaskMachine machine_;
  TimePoint now_{1'000'000'000};
  int last_{};
  std::map<std::string, Open> open_;
  std::map<std::string, Ended> ended_;
  std::set<std::string> engines_;
  std::set<std::string> suspected_;
};

class TaskPolicyProperty : public testing::TestWithParam<std::uint32_t> {};

TEST_P(TaskPolicyProperty, WhateverTasksAskForTheyEndOnceAndInOrder) {
  const std::uint64_t first = test::new_seed();
  for (std::uint64_t round = 0; round < 6 && !HasFailure(); ++round) {
    const std::uint64_t seed = first + round;
    SCOPED_TRACE(test::seed_note(seed));
    PolicyModel model(seed, GetParam());
    for (int i = 0; i < 1200 && !HasFailure(); ++i) {
      model.random_step();
    }
    model.run_dry();
    EXPECT_GT(model.ended(), 150U);
  }
}

INSTANTIATE_TEST_SUITE_P(Hwm, TaskPolicyProperty, testing::Values(1U, 2U, 4U, 0U));

}  // namespace
}  // namespace ipf
