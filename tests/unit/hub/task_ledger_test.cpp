#include "hub/task_ledger.hpp"

#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/hub/hub_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using Names = std::vector<std::string>;

class TaskLedgerTest : public testing::Test {
 protected:
  void SetUp() override {
    ledger.add_engine("e0");
    ledger.add_engine("e1");
  }
  void TearDown() override { ledger.check_invariants(); }
  TaskLedger ledger{{.pending_max = 10, .completed_max = 4, .completed_per_engine_max = 2}};
};

TEST_F(TaskLedgerTest, DirectMessagesWaitAtTheirEngineInOrder) {
  ledger.add("b", TaskQueue::mux, "e0", {});
  ledger.add("a", TaskQueue::mux, "e0", {});
  ledger.add("c", TaskQueue::mux, "e1", {});
  EXPECT_EQ(ledger.queues("e0").direct, (Names{"b", "a"}));
  EXPECT_EQ(ledger.counts("e1").direct, 1U);
  EXPECT_TRUE(ledger.finish("b", "e0"));
  EXPECT_EQ(ledger.queues("e0").direct, Names{"a"});
  EXPECT_EQ(ledger.queues("e0").completed, Names{"b"});
}

TEST_F(TaskLedgerTest, ATaskThatMovesLeavesNoGhost) {
  ledger.add("t", TaskQueue::task, "", {});
  EXPECT_EQ(ledger.unassigned(), Names{"t"});
  ledger.assign("t", "e0");
  EXPECT_EQ(ledger.unassigned_count(), 0U);
  ledger.assign("t", "e1");
  EXPECT_EQ(ledger.counts("e0").tasks, 0U);
  EXPECT_EQ(ledger.queues("e1").tasks, Names{"t"});
  ledger.finish("t", "e1");
  EXPECT_EQ(ledger.counts("e1").tasks, 0U);
  EXPECT_EQ(ledger.counts("e1").completed, 1U);
  EXPECT_EQ(ledger.counts("e0").completed, 0U);
}

TEST_F(TaskLedgerTest, TasksOfAnEngineThatIsGoneAreUnassignedAgain) {
  ledger.add("t", TaskQueue::task, "", {});
  ledger.assign("t", "e0");
  ledger.remove_engine("e0", EngineId{0}, at_ms(5));
  EXPECT_EQ(ledger.unassigned(), Names{"t"});
  EXPECT_TRUE(ledger.take_stranded(at_ms(10)).empty());
  EXPECT_TRUE(ledger.is_pending("t"));
}

TEST_F(TaskLedgerTest, DirectMessagesOfAnEngineThatIsGoneAreStrandedAfterTheGrace) {
  ledger.add("m1", TaskQueue::mux, "e0", {});
  ledger.add("m2", TaskQueue::broadcast, "e0", {});
  ledger.remove_engine("e0", EngineId{7}, at_ms(5));
  EXPECT_EQ(ledger.next_deadline(), at_ms(5));
  EXPECT_TRUE(ledger.take_stranded(at_ms(4)).empty());
  EXPECT_TRUE(ledger.finish("m1", "e0"));  // the reply was on its way
  const auto stranded = ledger.take_stranded(at_ms(5));
  ASSERT_EQ(stranded.size(), 1U);
  EXPECT_EQ(stranded[0].msg_id, "m2");
  EXPECT_EQ(stranded[0].engine_uuid, "e0");
  EXPECT_EQ(stranded[0].engine_id, EngineId{7});
  EXPECT_FALSE(ledger.is_pending("m2"));
  EXPECT_TRUE(ledger.is_completed("m2"));
  EXPECT_EQ(ledger.next_deadline(), TimePoint::never());
}

TEST_F(TaskLedgerTest, ARequestForAnUnknownEngineDoesNotWaitForEver) {
  ledger.add("m", TaskQueue::mux, "nobody", at_ms(9));
  ledger.add("t", TaskQueue::task, "nobody", at_ms(9));
  EXPECT_EQ(ledger.unassigned(), Names{"t"});
  const auto stranded = ledger.take_stranded(at_ms(9));
  ASSERT_EQ(stranded.size(), 1U);
  EXPECT_EQ(stranded[0].engine_id, EngineId{-1});
}

TEST_F(TaskLedgerTest, ABroadcastWithoutAnEngineIsPendingButNotUnassigned) {
  ledger.add("b", TaskQueue::broadcast, "", {});
  EXPECT_TRUE(ledger.is_pending("b"));
  EXPECT_EQ(ledger.unassigned_count(), 0U);
  EXPECT_TRUE(ledger.finish("b", ""));
}

TEST_F(TaskLedgerTest, ADuplicateIsCountedOnce) {
  EXPECT_TRUE(ledger.add("m", TaskQueue::mux, "e0", {}));
  EXPECT_FALSE(ledger.add("m", TaskQueue::task, "", {}));
  EXPECT_EQ(ledger.pending_count(), 1U);
  EXPECT_TRUE(ledger.finish("m", "e0"));
  EXPECT_FALSE(ledger.finish("m", "e0"));
  EXPECT_EQ(ledger.counts("e0").completed, 1U);
}

TEST_F(TaskLedgerTest, PendingTasksAreLimitedAndTheRestIsCounted) {
  for (int i = 0; i < 12; ++i) {
    ledger.add(std::to_string(i), TaskQueue::task, "", {});
  }
  EXPECT_EQ(ledger.pending_count(), 10U);
  EXPECT_EQ(ledger.rejected_count(), 2U);
  EXPECT_EQ(ledger.room(), 0U);
}

TEST_F(TaskLedgerTest, OnlyTheLastCompletedOnesAreRemembered) {
  for (const auto* id : {"1", "2", "3", "4", "5"}) {
    ledger.add(id, TaskQueue::mux, "e0", {});
    ledger.finish(id, "e0");
  }
  EXPECT_FALSE(ledger.is_completed("1"));
  EXPECT_TRUE(ledger.is_completed("2"));
  EXPECT_TRUE(ledger.is_completed("5"));
  EXPECT_EQ(ledger.queues("e0").completed, (Names{"4", "5"}));
  EXPECT_EQ(ledger.counts("e0").completed, 5U);
}

TEST_F(TaskLedgerTest, AnAssignmentOfADirectOrUnknownMessageIsIgnored) {
  ledger.add("m", TaskQueue::mux, "e0", {});
  ledger.assign("m", "e1");
  ledger.assign("unknown", "e1");
  EXPECT_EQ(ledger.counts("e0").direct, 1U);
  EXPECT_EQ(ledger.counts("e1").tasks, 0U);
}

/// The same bookkeeping without any cleverness.
struct Model {
  struct Task {
    TaskQueue queue{};
    std::string engine{};
  };
  std::map<std::string, Task> pending{};
  std::set<std::string> engines{};
  std::set<std::string> completed{};

  std::size_t count(const std::string& engine, bool tasks) const {
    std::size_t found = 0;
    for (const auto& [id, task] : pending) {
      found += task.engine == engine && (task.queue == TaskQueue::task) == tasks ? 1U : 0U;
    }
    return found;
  }
};

void lose(Model& model, const std::string& engine) {
  model.engines.erase(engine);
  for (auto& [id, task] : model.pending) {
    if (task.engine == engine) {
      task.engine = task.queue == TaskQueue::task ? "" : "gone";
    }
  }
}

TEST(TaskLedgerProperty, AgreesWithASimpleModelUnderAnyOrderOfEvents) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Rng rng(seed);
    TaskLedger ledger{{}};
    Model model;
    TimePoint now = at_ms(0);
    for (int i = 0; i < 1500; ++i) {
      const std::string id = "t" + std::to_string(rng.below(40));
      const std::string engine = "e" + std::to_string(rng.below(4));
      const bool known = model.engines.contains(engine);
      switch (rng.below(8)) {
        case 0:
          ledger.add_engine(engine);
          model.engines.insert(engine);
          break;
        case 1:
          if (rng.below(4) == 0) {
            ledger.remove_engine(engine, EngineId{0}, now + test::ms(5));
            lose(model, engine);
          }
          break;
        case 2:
        case 3:
          if (rng.below(2) == 0) {
            ledger.add(id, TaskQueue::task, "", {});
            model.pending.try_emplace(id, Model::Task{.queue = TaskQueue::task});
          } else {
            ledger.add(id, TaskQueue::mux, engine, now + test::ms(5));
            model.pending.try_emplace(
                id, Model::Task{.queue = TaskQueue::mux, .engine = known ? engine : "gone"});
          }
          break;
        case 4:
          ledger.assign(id, engine);
          if (const auto task = model.pending.find(id);
              task != model.pending.end() && task->second.queue == TaskQueue::task) {
            task->second.engine = known ? engine : "";
          }
          break;
        case 5:
        case 6:
          EXPECT_EQ(ledger.finish(id, engine), model.pending.erase(id) == 1);
          model.completed.insert(id);
          break;
        default:
          now = now + test::ms(static_cast<std::int64_t>(rng.below(4)));
          for (const auto& task : ledger.take_stranded(now)) {
            EXPECT_EQ(model.pending.at(task.msg_id).engine, "gone");
            model.pending.erase(task.msg_id);
            model.completed.insert(task.msg_id);
          }
      }
      ledger.check_invariants();
      ASSERT_EQ(ledger.pending_count(), model.pending.size());
      ASSERT_EQ(ledger.is_pending(id), model.pending.contains(id));
      ASSERT_EQ(ledger.is_completed(id), model.completed.contains(id));
      ASSERT_EQ(ledger.unassigned_count(), model.count("", true));
      for (const auto& name : model.engines) {
        ASSERT_EQ(ledger.counts(name).direct, model.count(name, false));
        ASSERT_EQ(ledger.counts(name).tasks, model.count(name, true));
      }
    }
  }
}

}  // namespace
}  // namespace ipf
