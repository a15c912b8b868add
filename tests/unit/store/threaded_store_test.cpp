#include "store/threaded_store.hpp"

#include <atomic>
#include <memory>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "unit/store/store_testing.hpp"

namespace ipf {
namespace {

using test::at_ms;
using test::ms;

struct Gate {
  std::atomic<bool> closed{false};
  std::atomic<bool> throws{false};
  std::atomic<int> rows{0};
  void pass() const { closed.wait(true); }
  void open() {
    closed = false;
    closed.notify_all();
  }
};

/// A database that hangs while its gate is closed.
class SlowBackend final : public StoreBackend {
 public:
  explicit SlowBackend(Gate& gate) : gate_(gate) {}
  [[nodiscard]] const char* name() const override { return "SlowDB"; }
  Result<void> write(const std::vector<RecordWrite>& records) override {
    gate_.pass();
    if (gate_.throws) {
      throw std::runtime_error("no memory");
    }
    gate_.rows += static_cast<int>(records.size());
    return {};
  }
  Result<std::optional<TaskRecord>> load(const std::string& /*msg_id*/) override {
    gate_.pass();
    return std::optional<TaskRecord>{};
  }
  Result<std::vector<TaskRecord>> find(const StoreQuery& /*query*/, std::size_t /*most*/) override {
    return std::vector<TaskRecord>{};
  }
  Result<std::size_t> drop(const DropRecords& /*unwanted*/) override { return std::size_t{0}; }
  Result<std::vector<std::string>> history() override { return std::vector<std::string>{}; }
  Result<std::vector<std::string>> unfinished(std::size_t /*most*/) override {
    return std::vector<std::string>{};
  }

 private:
  Gate& gate_;
};

class ThreadedStoreTest : public testing::Test {
 protected:
  void TearDown() override { gate.open(); }

  Gate gate;
  test::StoreLog log;
  std::unique_ptr<ThreadedStore> store = std::make_unique<ThreadedStore>(
      std::make_unique<SlowBackend>(gate),
      ThreadedStore::Options{
          .writing = {.commit_every = ms(1)}, .changes_max = 10, .stall_limit = ms(5000)},
      log);

  void fill(int count) {
    for (int i = 0; i < count; ++i) {
      store->apply(
          "t" + std::to_string(next++),
          RecordRequest{
              .queue = TaskQueue::task, .engine_uuid = {}, .request = test::apply_request("x")});
    }
    store->flush();
  }
  /// Waits until the store's thread has taken what is queued, or hangs.
  bool room_comes() {
    for (int i = 0; i < 5000; ++i) {
      if (store->has_room(at_ms(1000))) {
        return true;
      }
      std::this_thread::sleep_for(ms(1));
    }
    return false;
  }
  int next{};
};

TEST_F(ThreadedStoreTest, WritesWithoutBeingAsked) {
  store->start([](const StoreAnswered&) {});
  fill(3);
  for (int i = 0; i < 5000 && gate.rows < 3; ++i) {
    std::this_thread::sleep_for(ms(1));
  }
  EXPECT_EQ(gate.rows, 3);
}

TEST_F(ThreadedStoreTest, StopWritesWhatIsLeft) {
  store->start([](const StoreAnswered&) {});
  fill(7);
  store->stop();
  EXPECT_EQ(gate.rows, 7);
}

TEST_F(ThreadedStoreTest, AStoreThatHangsHoldsBackAndThenDrops) {
  gate.closed = true;
  store->start([](const StoreAnswered&) {});
  fill(1);
  // The thread hangs in the commit of the first one; nobody takes the rest.
  for (int i = 0; i < 40 && store->has_room(at_ms(1000)); ++i) {
    fill(5);
    std::this_thread::sleep_for(ms(2));
  }
  ASSERT_FALSE(store->has_room(at_ms(1000)));
  EXPECT_FALSE(store->has_room(at_ms(5999)));
  EXPECT_EQ(log.count(LogLevel::error), 0U);
  EXPECT_TRUE(store->has_room(at_ms(6001))) << "tasks go on";
  EXPECT_EQ(log.count(LogLevel::error, "SlowDB::stands still"), 1U);
  const int kept = next;
  fill(4);
  gate.open();
  ASSERT_TRUE(room_comes());
  for (int i = 0; i < 5000 && log.count(LogLevel::warning, "::moves again") == 0; ++i) {
    (void)store->has_room(at_ms(7000));
    std::this_thread::sleep_for(ms(1));
  }
  EXPECT_EQ(log.count(LogLevel::warning, "; 4 changes of task records were lost"), 1U)
      << log.text();
  store->stop();
  EXPECT_EQ(gate.rows, kept);
}

TEST_F(ThreadedStoreTest, AThreadThatEndsByAnErrorIsNoticed) {
  gate.throws = true;
  store->start([](const StoreAnswered&) {});
  fill(1);
  bool thrown = false;
  for (int i = 0; i < 5000 && !thrown; ++i) {
    try {
      (void)store->has_room(at_ms(1000));
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    std::this_thread::sleep_for(ms(1));
  }
  EXPECT_TRUE(thrown);
  EXPECT_EQ(log.count(LogLevel::error, "no memory"), 1U);
}

}  // namespace
}  // namespace ipf
