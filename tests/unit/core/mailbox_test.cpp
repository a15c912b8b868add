#include "core/mailbox.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace ipf {
namespace {

/// The owner's sleep: counts wake-ups and waits for one.
class Bell {
 public:
  void ring() {
    const std::scoped_lock lock(mutex_);
    ++rings_;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return rings_ > heard_; });
    heard_ = rings_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int rings_{};
  int heard_{};
};

TEST(Mailbox, ValuesComeInOrderAndAllAtOnce) {
  Mailbox<int> mailbox(10, {});
  EXPECT_TRUE(mailbox.push(1));
  EXPECT_TRUE(mailbox.push(2));
  EXPECT_TRUE(mailbox.push(3));
  std::vector<int> taken;
  mailbox.take(taken);
  EXPECT_EQ(taken, (std::vector{1, 2, 3}));
  taken.clear();
  mailbox.take(taken);
  EXPECT_TRUE(taken.empty());
}

TEST(Mailbox, TheOwnerIsWokenOnlyWhenTheMailboxWasEmpty) {
  int wakes = 0;
  Mailbox<int> mailbox(10, [&] { ++wakes; });
  mailbox.push(1);
  mailbox.push(2);
  EXPECT_EQ(wakes, 1);
  std::vector<int> taken;
  mailbox.take(taken);
  mailbox.push(3);
  EXPECT_EQ(wakes, 2);
}

TEST(Mailbox, AQuietBatchWakesTheOwnerOnlyWhenTheWriterSaysSo) {
  int wakes = 0;
  Mailbox<int> mailbox(10, [&] { ++wakes; });
  std::vector<int> batch{1, 2};
  EXPECT_TRUE(mailbox.push_quietly(batch));
  EXPECT_TRUE(batch.empty());
  EXPECT_EQ(wakes, 0);
  mailbox.wake();
  mailbox.wake();
  EXPECT_EQ(wakes, 1);
}

TEST(Mailbox, APushBehindAQuietBatchWakesTheOwner) {
  int wakes = 0;
  Mailbox<int> mailbox(10, [&] { ++wakes; });
  std::vector<int> batch{1};
  mailbox.push_quietly(batch);
  mailbox.push(2);
  EXPECT_EQ(wakes, 1);
  std::vector<int> taken;
  mailbox.take(taken);
  EXPECT_EQ(taken, (std::vector{1, 2}));
}

TEST(Mailbox, AQuietBatchThatFillsTheMailboxWakesTheOwner) {
  int wakes = 0;
  Mailbox<int> mailbox(4, [&] { ++wakes; });
  std::vector<int> batch{1, 2, 3};
  mailbox.push_quietly(batch);
  EXPECT_EQ(wakes, 1);
}

TEST(Mailbox, AnEmptyBatchWakesNobody) {
  int wakes = 0;
  Mailbox<int> mailbox(1, [&] { ++wakes; });
  std::vector<int> batch;
  EXPECT_TRUE(mailbox.push_quietly(batch));
  EXPECT_EQ(wakes, 0);
}

TEST(Mailbox, TheWakeUpRunsWithoutTheLock) {
  std::vector<int> taken;
  Mailbox<int>* self = nullptr;
  Mailbox<int> mailbox(10, [&] { self->take(taken); });  // would dead-lock under the lock
  self = &mailbox;
  mailbox.push(1);
  EXPECT_EQ(taken, std::vector{1});
}

TEST(Mailbox, MoveOnlyValuesPass) {
  Mailbox<std::unique_ptr<int>> mailbox(2, {});
  mailbox.push(std::make_unique<int>(7));
  std::vector<std::unique_ptr<int>> taken;
  mailbox.take(taken);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(*taken[0], 7);
}

TEST(Mailbox, AfterCloseNothingIsTakenInButWhatIsInsideStays) {
  Mailbox<int> mailbox(4, {});
  mailbox.push(1);
  mailbox.close();
  EXPECT_FALSE(mailbox.push(2));
  std::vector<int> batch{3};
  EXPECT_FALSE(mailbox.push_quietly(batch));
  EXPECT_TRUE(batch.empty());
  std::vector<int> taken;
  mailbox.take(taken);
  EXPECT_EQ(taken, std::vector{1});
}

TEST(Mailbox, CloseFreesAWriterThatWaitsForRoom) {
  Mailbox<int> mailbox(1, {});
  mailbox.push(1);
  std::atomic<int> refused{0};
  {
    const std::jthread one([&] { refused += mailbox.push(2) ? 0 : 1; });
    const std::jthread batch([&] {
      std::vector<int> values{3};
      refused += mailbox.push_quietly(values) ? 0 : 1;
    });
    std::this_thread::yield();
    mailbox.close();
  }
  EXPECT_EQ(refused, 2);
}

TEST(Mailbox, AFullMailboxHoldsItsWriterBackUntilTheOwnerTakes) {
  constexpr std::size_t capacity = 3;
  constexpr int count = 3000;
  Bell bell;
  Mailbox<int> mailbox(capacity, [&] { bell.ring(); });
  const std::jthread writer([&] {
    for (int i = 0; i < count; ++i) {
      mailbox.push(i);
    }
  });
  std::vector<int> all;
  std::vector<int> taken;
  while (all.size() < count) {
    bell.wait();
    std::this_thread::yield();  // let the writer run into the bound
    mailbox.take(taken);
    ASSERT_LE(taken.size(), capacity);
    all.insert(all.end(), taken.begin(), taken.end());
    taken.clear();
  }
  std::vector<int> expected(count);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(all, expected);
}

TEST(Mailbox, ABatchWaitsOnlyWhileTheMailboxIsFullBeforeIt) {
  Mailbox<int> mailbox(2, {});
  mailbox.push(1);
  std::vector<int> batch{2, 3, 4};
  EXPECT_TRUE(mailbox.push_quietly(batch));  // one place is free: the whole batch goes in
  std::vector<int> taken;
  mailbox.take(taken);
  EXPECT_EQ(taken, (std::vector{1, 2, 3, 4}));
}

TEST(Mailbox, ManyWritersLoseNothingAndEachStaysInOrder) {
  constexpr int writers = 4;
  constexpr int each = 2000;
  Bell bell;
  Mailbox<std::pair<int, int>> mailbox(64, [&] { bell.ring(); });
  std::vector<std::jthread> threads;
  threads.reserve(writers);
  for (int writer = 0; writer < writers; ++writer) {
    threads.emplace_back([&mailbox, writer] {
      std::vector<std::pair<int, int>> batch;
      for (int i = 0; i < each; ++i) {
        if (writer % 2 == 0) {
          mailbox.push({writer, i});
          continue;
        }
        batch.emplace_back(writer, i);
        if (batch.size() == 16) {
          mailbox.push_quietly(batch);
          mailbox.wake();
        }
      }
      mailbox.push_quietly(batch);
      mailbox.wake();
    });
  }
  std::vector<int> next(writers, 0);
  std::vector<std::pair<int, int>> taken;
  int total = 0;
  while (total < writers * each) {
    bell.wait();
    mailbox.take(taken);
    for (const auto& [writer, number] : taken) {
      ASSERT_EQ(number, next.at(static_cast<std::size_t>(writer))++);
      ++total;
    }
    taken.clear();
  }
}

}  // namespace
}  // namespace ipf
