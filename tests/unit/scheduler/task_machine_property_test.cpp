// Random events against the task machine, watched by a naive model that follows its actions.
//
// The model knows the rules of protocol.md 5 and nothing of the machine's queues and indexes: it
// looks at all tasks and all engines each time. IPF_TEST_SEED repeats a failing run.
#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "scheduler/task_machine.hpp"
#include "unit/core/core_testing.hpp"
#include "unit/scheduler/scheduler_testing.hpp"

namespace ipf {
namespace {

constexpr Duration grace = std::chrono::milliseconds(100);

class Model {
 public:
  Model(const TaskMachineOptions& options, std::uint64_t seed)
      : options_(options), machine_(options), rng_(seed) {
    if (options_.scheme == SchemeName::pure) {
      options_.hwm = 0;
    }
  }

  void random_step() {
    switch (rng_.below(12)) {
      case 0:
        return join("e" + std::to_string(rng_.below(6)));
      case 1:
        return rng_.below(3) == 0 ? leave() : pass(rng_.below(40));
      case 2:
        return pass(rng_.below(200));
      case 3:
        return undeliverable();
      case 4:
        return stray_reply();
      case 5:
      case 6:
      case 7:
        return submit();
      default:
        return reply(rng_.below(10) < 6, rng_.below(10) > 0);
    }
  }

  /// Faults end; everything must end too.
  void run_dry() {
    join("fresh1");
    join("fresh2");
    for (int round = 0; round < 5'000 && !open_.empty(); ++round) {
      if (running().empty()) {
        join("last" + std::to_string(round));  // for tasks that every other engine refused
        pass(2000);
      } else {
        reply(true, true);
      }
    }
    EXPECT_TRUE(open_.empty()) << open_.size() << " tasks never ended";
    EXPECT_EQ(machine_.task_count(), 0U);
    for (const auto& [uuid, load] : loads_) {
      EXPECT_EQ(machine_.load_of(uuid), 0U) << "a slot of " << uuid << " leaked";
    }
    pass(10'000);
    EXPECT_EQ(machine_.next_deadline(), TimePoint::never());
    EXPECT_EQ(ended_, submitted_);
  }
  [[nodiscard]] int submitted() const { return submitted_; }

 private:
  struct Open {
    int order{};
    test::TaskWish wish{};
    std::set<std::string> refused_by{};  ///< engines where it failed, was unmet or undeliverable
    int retries_left{};
    std::optional<std::string> engine{};  ///< where it runs, or ran when the engine left
    bool orphaned{false};
    TimePoint since{};  ///< in the queue, or orphaned
    std::optional<std::string> last_error{};
    bool noted{false};

    [[nodiscard]] bool waits() const { return !engine; }
    [[nodiscard]] bool may_use(const std::string& uuid) const {
      const auto& targets = wish.targets;
      return !refused_by.contains(uuid) &&
             (targets.empty() || std::ranges::find(targets, uuid) != targets.end());
    }
  };
  /// What the event that just happened allows the machine to answer.
  struct Allowed {
    std::string forward_of{};  ///< this reply may be forwarded
    std::string forward_text{};
    bool time{false};
  };

  // ---- events -----------------------------------------------------------------------------------

  void submit() {
    const std::string id = "t" + std::to_string(next_++);
    Open task{.order = next_, .since = now_};
    if (rng_.below(3) == 0) {
      for (std::uint64_t i = 0; i <= rng_.below(3); ++i) {
        task.wish.targets.push_back("e" + std::to_string(rng_.below(6)));
      }
    }
    task.wish.retries = rng_.below(3) == 0 ? static_cast<int>(rng_.below(4)) : 0;
    task.wish.timeout_ms = rng_.below(4) == 0 ? 1 + static_cast<std::int64_t>(rng_.below(300)) : 0;
    TaskOptions wire{.targets = task.wish.targets,
                     .timeout_seconds = static_cast<double>(task.wish.timeout_ms) / 1000,
                     .retries = task.wish.retries};
    if (options_.scheme == SchemeName::pure) {
      task.wish = {};
    }
    task.retries_left = task.wish.retries;
    open_.emplace(id, task);
    ++submitted_;
    step(TaskSubmitted{.msg_id = id, .options = wire, .request = test::request_message(id)}, {});
  }

  void join(const std::string& uuid) {
    if (!loads_.contains(uuid)) {
      loads_[uuid] = 0;
      lru_.push_front(uuid);
    }
    step(EngineJoined{.uuid = uuid}, {});
  }

  void leave() {
    if (lru_.empty()) {
      return;
    }
    const std::string uuid = lru_[rng_.below(lru_.size())];
    loads_.erase(uuid);
    std::erase(lru_, uuid);
    for (auto& [id, task] : open_) {
      if (task.engine == uuid && !task.orphaned) {
        task.orphaned = true;
        task.since = now_;
      }
    }
    step(EngineLeft{.uuid = uuid}, {});
  }

  void pass(std::uint64_t milliseconds) {
    now_ = now_ + test::ms(static_cast<std::int64_t>(milliseconds));
    step(TaskTimePassed{}, {.time = true});
    EXPECT_GT(machine_.next_deadline(), now_);
    for (const auto& [id, task] : open_) {
      EXPECT_FALSE(task.waits() && timed_out(task)) << id << " waits behind its timeout";
      EXPECT_FALSE(task.orphaned && now_ - task.since >= grace)
          << id << " is orphaned behind the grace";
    }
  }

  void undeliverable() {
    const auto ids = running();
    if (ids.empty()) {
      return;
    }
    const std::string id = ids[rng_.below(ids.size())];
    Open& task = open_.at(id);
    if (!task.orphaned) {
      back_to_queue(task, true);
    }
    step(TaskUndeliverable{.msg_id = id}, {});
  }

  /// Of an engine that does not run the task: must change nothing.
  void stray_reply() {
    const std::string id = "t" + std::to_string(rng_.below(static_cast<std::uint64_t>(next_) + 1));
    const std::string engine = "e" + std::to_string(rng_.below(6));
    if (const auto found = open_.find(id); found != open_.end() && found->second.engine == engine) {
      return;
    }
    step(
        TaskReplied{
            .msg_id = id, .engine_uuid = engine, .reply = test::reply_message(engine, "stray")},
        {});
  }

  void reply(bool succeeded, bool met) {
    const auto ids = running();
    if (ids.empty()) {
      return;
    }
    const std::string id = ids[rng_.below(ids.size())];
    Open& task = open_.at(id);
    const std::string engine = *task.engine;
    const std::string text =
        (succeeded ? "good " : "bad ") + std::to_string(next_) + "_" + std::to_string(++replies_);
    Allowed allowed;
    if (!met) {
      back_to_queue(task, !task.orphaned);
    } else if (!succeeded && task.retries_left > 0) {
      --task.retries_left;
      task.last_error = text;
      back_to_queue(task, !task.orphaned);
    } else {
      allowed = {.forward_of = id, .forward_text = text};
      if (!task.orphaned) {
        --loads_.at(engine);
      }
    }
    step(TaskReplied{.msg_id = id,
                     .engine_uuid = engine,
                     .succeeded = succeeded,
                     .dependencies_met = met,
                     .reply = test::reply_message(engine, text)},
         allowed);
    EXPECT_TRUE(allowed.forward_of.empty() || !open_.contains(id))
        << "the reply of " << id << " was not forwarded";
  }

  // ---- the machine's answers --------------------------------------------------------------------

  void step(TaskEvent event, const Allowed& allowed) {
    TaskActions actions;
    machine_.step(now_, std::move(event), actions);
    machine_.check_invariants();
    for (const auto& action : actions) {
      std::visit([&](const auto& concrete) { check(concrete, allowed); }, action);
    }
    check_state(allowed);
  }

  void check(const SendTask& action, const Allowed& allowed) {
    Open* task = find(action.msg_id);
    ASSERT_NE(task, nullptr) << action.msg_id << " was sent after its end";
    if (task->orphaned && allowed.time) {  // its engine died with it and the grace is over
      ASSERT_GE((now_ - task->since).count(), grace.count());
      ASSERT_GT(task->retries_left, 0);
      --task->retries_left;
      back_to_queue(*task, false);
    }
    ASSERT_TRUE(task->waits()) << action.msg_id << " is sent twice";
    EXPECT_EQ(action.first_sight, !task->noted);
    EXPECT_TRUE(task->may_use(action.engine_uuid))
        << action.msg_id << " must not run on " << action.engine_uuid;
    const auto candidates = engines_with_room(*task);
    ASSERT_NE(std::ranges::find(candidates, action.engine_uuid), candidates.end())
        << action.engine_uuid << " is full or gone";
    if (options_.scheme == SchemeName::leastload) {
      EXPECT_EQ(action.engine_uuid, *std::ranges::min_element(candidates, {}, [&](const auto& e) {
                  return loads_.at(e);
                }));
    } else if (options_.scheme == SchemeName::lru || options_.scheme == SchemeName::pure) {
      EXPECT_EQ(action.engine_uuid, candidates.front());
    }
    for (const auto& [id, other] : open_) {
      const bool equal = other.waits() && other.noted && other.refused_by.empty() &&
                         task->refused_by.empty() && other.wish.targets == task->wish.targets;
      EXPECT_FALSE(equal && other.order < task->order) << action.msg_id << " overtook " << id;
    }
    task->engine = action.engine_uuid;
    task->noted = true;
    ++loads_.at(action.engine_uuid);
    std::erase(lru_, action.engine_uuid);
    lru_.push_back(action.engine_uuid);
  }

  void check(const ForwardReply& action, const Allowed& allowed) {
    Open* task = find(action.msg_id);
    ASSERT_NE(task, nullptr) << action.msg_id << " ended twice";
    if (task->orphaned && allowed.time) {
      task->refused_by.insert(*task->engine);
    }
    const std::string text(action.reply.content());
    EXPECT_EQ(action.engine_uuid, action.reply.identity(0));
    if (action.msg_id == allowed.forward_of) {
      EXPECT_EQ(text, allowed.forward_text);
    } else {  // it failed on every engine that it may use
      EXPECT_EQ(text, task->last_error.value_or("no error was there"));
      EXPECT_TRUE(hopeless(*task)) << action.msg_id << " was given up too early";
    }
    end(action.msg_id);
  }

  void check(const FailTask& action, const Allowed& allowed) {
    Open* task = find(action.msg_id);
    ASSERT_NE(task, nullptr) << action.msg_id << " ended twice";
    EXPECT_TRUE(task->noted) << "the hub never heard of " << action.msg_id;
    const std::string& name = action.failure.ename;
    if (name == "TaskTimeout") {
      EXPECT_TRUE(allowed.time && task->waits() && timed_out(*task)) << action.msg_id;
    } else if (name == "EngineError") {
      EXPECT_TRUE(allowed.time && task->orphaned && task->retries_left == 0 &&
                  now_ - task->since >= grace);
      EXPECT_EQ(action.engine_uuid, *task->engine);
    } else {
      EXPECT_EQ(name, "ImpossibleDependency");
      if (task->orphaned) {
        EXPECT_GT(task->retries_left, 0);
        task->refused_by.insert(*task->engine);
      }
      EXPECT_TRUE(!task->wish.targets.empty() && !task->last_error && hopeless(*task))
          << action.msg_id;
    }
    end(action.msg_id);
  }

  void check(const NoteReturn& action, const Allowed& /*allowed*/) {
    EXPECT_NE(find(action.msg_id), nullptr);
  }
  void check(const NoteSubmission& action, const Allowed& /*allowed*/) {
    Open* task = find(action.msg_id);
    ASSERT_NE(task, nullptr);
    EXPECT_FALSE(task->noted) << action.msg_id << " was noted twice";
    task->noted = true;
  }

  void check(const TaskLog& /*action*/, const Allowed& /*allowed*/) {}
  void check(const InterruptTask& /*action*/, const Allowed& /*allowed*/) {}
  void check(const AbortAtEngine& /*action*/, const Allowed& /*allowed*/) {}
  void check(const AnswerAgain& /*action*/, const Allowed& /*allowed*/) {}

  void check_state(const Allowed& allowed) {
    EXPECT_EQ(machine_.task_count(), open_.size());
    for (const auto& [uuid, load] : loads_) {
      ASSERT_EQ(machine_.load_of(uuid), load) << uuid;
      ASSERT_TRUE(options_.hwm == 0 || load <= options_.hwm) << uuid;
    }
    for (auto& [id, task] : open_) {
      if (allowed.time && task.orphaned && now_ - task.since >= grace && task.retries_left > 0) {
        --task.retries_left;  // its engine died and nobody else has room: it is in the queue now
        back_to_queue(task, false);
      }
      if (task.waits()) {
        ASSERT_TRUE(engines_with_room(task).empty()) << id << " waits though an engine has room";
        ASSERT_FALSE(hopeless(task)) << id << " waits for ever";
      }
    }
  }

  // ---- the model --------------------------------------------------------------------------------

  void back_to_queue(Open& task, bool frees_slot) {
    if (frees_slot) {
      --loads_.at(*task.engine);
    }
    task.refused_by.insert(*task.engine);
    task.engine.reset();
    task.orphaned = false;
    task.since = now_;
  }

  [[nodiscard]] std::vector<std::string> engines_with_room(const Open& task) const {
    std::vector<std::string> out;
    for (const auto& uuid : lru_) {
      if (task.may_use(uuid) && (options_.hwm == 0 || loads_.at(uuid) < options_.hwm)) {
        out.push_back(uuid);
      }
    }
    return out;
  }

  [[nodiscard]] bool hopeless(const Open& task) const {
    const bool some_engine =
        std::ranges::any_of(lru_, [&](const auto& uuid) { return task.may_use(uuid); });
    return !some_engine &&
           (!task.wish.targets.empty() || (task.last_error && task.wish.timeout_ms == 0));
  }

  [[nodiscard]] bool timed_out(const Open& task) const {
    return task.wish.timeout_ms > 0 && now_ - task.since >= test::ms(task.wish.timeout_ms);
  }

  [[nodiscard]] std::vector<std::string> running() const {
    std::vector<std::string> out;
    for (const auto& [id, task] : open_) {
      if (task.engine) {
        out.push_back(id);
      }
    }
    return out;
  }

  Open* find(const std::string& id) {
    const auto found = open_.find(id);
    return found == open_.end() ? nullptr : &found->second;
  }

  void end(const std::string& id) {
    open_.erase(id);
    ++ended_;
  }

  TaskMachineOptions options_;
  TaskMachine machine_;
  Rng rng_;
  TimePoint now_{1'000'000'000};
  int next_{};
  int replies_{};
  int submitted_{};
  int ended_{};
  std::map<std::string, Open> open_;
  std::map<std::string, std::uint32_t> loads_;
  std::deque<std::string> lru_;  ///< the reference's order: new engines in front, used ones behind
};

struct Case {
  SchemeName scheme{};
  std::uint32_t hwm{};
};

class TaskMachineProperty : public testing::TestWithParam<Case> {};

TEST_P(TaskMachineProperty, EveryTaskEndsOnceAndNoRuleIsBroken) {
  const std::uint64_t first = test::new_seed();
  for (std::uint64_t round = 0; round < 4 && !HasFailure(); ++round) {
    const std::uint64_t seed = first + round;
    SCOPED_TRACE(test::seed_note(seed));
    Model model({.scheme = GetParam().scheme,
                 .hwm = GetParam().hwm,
                 .lost_engine_grace = grace,
                 .seed = seed,
                 .poison_limit = 0},
                seed);
    for (int i = 0; i < 1500 && !HasFailure(); ++i) {
      model.random_step();
    }
    model.run_dry();
    EXPECT_GT(model.submitted(), 200);
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes,
                         TaskMachineProperty,
                         testing::Values(Case{SchemeName::leastload, 1},
                                         Case{SchemeName::leastload, 3},
                                         Case{SchemeName::leastload, 0},
                                         Case{SchemeName::lru, 1},
                                         Case{SchemeName::lru, 2},
                                         Case{SchemeName::plainrandom, 2},
                                         Case{SchemeName::twobin, 2},
                                         Case{SchemeName::weighted, 2},
                                         Case{SchemeName::pure, 1}),
                         [](const auto& named) {
                           return std::string(scheme_text(named.param.scheme)) + "_hwm" +
                                  std::to_string(named.param.hwm);
                         });

}  // namespace
}  // namespace ipf
