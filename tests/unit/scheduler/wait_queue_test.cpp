#include "scheduler/wait_queue.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

class WaitQueueTest : public testing::Test {
 protected:
  Waiter& add(std::uint64_t ticket, std::uint64_t client = 0, int priority = 0) {
    Waiter& task = tasks.emplace_back(
        Waiter{.wait_stamp = ++stamp, .ticket = ticket, .client = client, .priority = priority});
    queue.push(task);
    return task;
  }
  std::vector<std::uint64_t> take_all() {
    std::vector<std::uint64_t> out;
    while (Waiter* task = queue.front()) {
      out.push_back(task->ticket);
      queue.pop();
      task->wait_stamp = 0;
    }
    return out;
  }
  using Tickets = std::vector<std::uint64_t>;
  std::deque<Waiter> tasks;
  std::uint64_t stamp{};
  WaitQueue queue;
};

TEST_F(WaitQueueTest, OneClientIsServedInTheOrderOfTickets) {
  for (const std::uint64_t ticket : {3U, 5U, 1U, 4U, 9U, 2U}) {
    add(ticket);
  }
  EXPECT_EQ(take_all(), (Tickets{1, 2, 3, 4, 5, 9}));
}

TEST_F(WaitQueueTest, HigherPrioritiesComeFirst) {
  add(1, 0, -1);
  add(2);
  add(3, 0, 7);
  add(4);
  EXPECT_EQ(take_all(), (Tickets{3, 2, 4, 1}));
}

TEST_F(WaitQueueTest, ClientsTakeTurns) {
  for (std::uint64_t ticket = 1; ticket <= 4; ++ticket) {
    add(ticket, 100);
  }
  add(5, 200);
  add(6, 300);
  add(7, 200);
  EXPECT_EQ(take_all(), (Tickets{1, 5, 6, 2, 7, 3, 4}));
}

TEST_F(WaitQueueTest, WhatNoLongerWaitsIsSkipped) {
  add(1).wait_stamp = 0;
  add(2, 1);
  add(3, 1, 5).wait_stamp = 0;
  add(4).wait_stamp = 1'000'000;  // it waits again, elsewhere
  EXPECT_EQ(take_all(), (Tickets{2}));
  EXPECT_EQ(queue.front(), nullptr);
  EXPECT_EQ(queue.entry_count(), 0U);
}

TEST_F(WaitQueueTest, VoidEntriesDoNotPileUp) {
  for (std::uint64_t ticket = 1; ticket <= 10'000; ++ticket) {
    Waiter& task = add(ticket, ticket % 700, static_cast<int>(ticket % 5));
    task.wait_stamp = ticket % 100 == 0 ? task.wait_stamp : 0;
  }
  EXPECT_LE(queue.entry_count(), 256U);
  EXPECT_EQ(take_all().size(), 100U);
}

TEST_F(WaitQueueTest, AgreesWithASimpleModel) {
  const std::uint64_t seed = test::new_seed();
  SCOPED_TRACE(test::seed_note(seed));
  Rng rng(seed);
  std::vector<Waiter*> waiting;
  std::uint64_t ticket = 1000;
  for (int i = 0; i < 20'000; ++i) {
    if (rng.below(waiting.size() < 100 ? 2 : 3) == 0) {
      const std::uint64_t old = rng.below(4) == 0 ? rng.below(1000) * 100'000 + ++ticket : 0;
      waiting.push_back(&add(old != 0 ? old : 200'000'000 + ++ticket, rng.below(4),
                             static_cast<int>(rng.below(3))));
    } else if (rng.below(3) == 0 && !waiting.empty()) {
      Waiter* gone = waiting[rng.below(waiting.size())];
      gone->wait_stamp = 0;
      std::erase(waiting, gone);
    }
    Waiter* next = queue.front();
    ASSERT_EQ(next == nullptr, waiting.empty());
    if (next != nullptr && rng.below(2) == 0) {
      for (const Waiter* other : waiting) {
        ASSERT_LE(other->priority, next->priority);
        ASSERT_FALSE(other->priority == next->priority && other->client == next->client &&
                     other->ticket < next->ticket);
      }
      queue.pop();
      next->wait_stamp = 0;
      std::erase(waiting, next);
    }
  }
}

}  // namespace
}  // namespace ipf
