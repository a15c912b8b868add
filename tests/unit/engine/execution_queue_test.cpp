#include "engine/execution_queue.hpp"

#include <atomic>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine_output.hpp"
#include "engine/stream_buffer.hpp"
#include "protocol/frames.hpp"

namespace ipf::engine {
namespace {

using Outcome = ExecutionQueue::Outcome;
constexpr Duration long_time = std::chrono::seconds(20);

Message some_message() {
  FramesBuilder builder;
  for (const char* frame : {"<IDS|MSG>", "", "{}", "{}", "{}", "{}"}) {
    builder.add(std::string_view(frame));
  }
  return std::move(*Message::split(builder.finish()));
}

WorkItem item(std::uint64_t token) {
  return {.token = {token}, .msg_id = "m", .message = some_message()};
}

TEST(ExecutionQueueTest, WhatIsHandedOverIsTaken) {
  ExecutionQueue queue;
  queue.hand_over(item(7));
  const auto taken = queue.take(long_time);
  ASSERT_EQ(taken.outcome, Outcome::work);
  EXPECT_EQ(taken.item->token, RequestToken{7});
  EXPECT_FALSE(queue.begin());
  queue.finish();
}

TEST(ExecutionQueueTest, WorkComesBeforeTheEnd) {
  ExecutionQueue queue;
  queue.hand_over(item(1));
  queue.stop();
  EXPECT_EQ(queue.take(long_time).outcome, Outcome::work);
  EXPECT_FALSE(queue.begin());
  queue.finish();
  EXPECT_EQ(queue.take(long_time).outcome, Outcome::stopped);
}

TEST(ExecutionQueueTest, ANudgeAndTimeEndTheWait) {
  ExecutionQueue queue;
  queue.nudge();
  EXPECT_EQ(queue.take(long_time).outcome, Outcome::nudged);
  EXPECT_EQ(queue.take(std::chrono::milliseconds(1)).outcome, Outcome::nudged);
}

TEST(ExecutionQueueTest, AnInterruptBeforeTheWorkBeginsTravelsWithIt) {
  ExecutionQueue queue;
  queue.interrupt();  // nothing runs: forgotten
  queue.hand_over(item(1));
  queue.interrupt();
  ASSERT_EQ(queue.take(long_time).outcome, Outcome::work);
  EXPECT_TRUE(queue.begin());
  queue.finish();
  queue.hand_over(item(2));
  ASSERT_EQ(queue.take(long_time).outcome, Outcome::work);
  EXPECT_FALSE(queue.begin());
  queue.finish();
  queue.hand_over(item(3));
  ASSERT_EQ(queue.take(long_time).outcome, Outcome::work);
  queue.interrupt();  // between take and begin
  EXPECT_TRUE(queue.begin());
  queue.finish();
}

TEST(ExecutionQueueTest, AdmissionEndsTheWaitForTheId) {
  ExecutionQueue queue;
  std::thread io([&] { queue.admit(EngineId{5}); });
  EXPECT_EQ(queue.wait_admitted(), EngineId{5});
  io.join();
  ExecutionQueue stopped;
  stopped.stop();
  EXPECT_EQ(stopped.wait_admitted(), std::nullopt);
}

volatile std::sig_atomic_t signals_seen = 0;
extern "C" void count_signal(int /*number*/) {
  signals_seen = signals_seen + 1;
}

TEST(ExecutionQueueTest, ASignalReachesTheRunningWorkOnly) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = count_signal;
  sigaction(SIGINT, &action, &before);
  ExecutionQueue queue;
  queue.interrupt();
  EXPECT_EQ(signals_seen, 0);
  queue.hand_over(item(1));
  ASSERT_EQ(queue.take(long_time).outcome, Outcome::work);
  ASSERT_FALSE(queue.begin());
  std::thread io([&] { queue.interrupt(); });
  io.join();
  queue.finish();
  EXPECT_EQ(signals_seen, 1);
  queue.interrupt();
  EXPECT_EQ(signals_seen, 1);
  sigaction(SIGINT, &before, nullptr);
}

TEST(ExecutionQueueTest, ASignalHandlerWakesTheSleeper) {
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = count_signal;
  sigaction(SIGUSR2, &action, &before);
  ExecutionQueue queue;
  const auto sleeper = pthread_self();
  std::atomic<bool> awake{false};
  std::thread other([&] {
    // More than one: the first may come before the sleep begins.
    while (!awake.load()) {
      pthread_kill(sleeper, SIGUSR2);
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(queue.take(long_time).outcome, Outcome::nudged);
  awake.store(true);
  other.join();
  sigaction(SIGUSR2, &before, nullptr);
}

/// Two threads pass work and results to and fro as the engine does; for ThreadSanitizer.
TEST(ExecutionQueueTest, TwoThreadsPassWorkToAndFro) {
  constexpr std::uint64_t rounds = 20'000;
  ExecutionQueue queue;
  OutputMailbox outputs(100, [] {});
  const std::jthread io([&] {
    std::vector<EngineOutput> items;
    for (std::uint64_t i = 1; i <= rounds; ++i) {
      queue.hand_over(item(i));
      queue.nudge();
      bool done = false;
      while (!done) {
        items.clear();
        outputs.take(items);
        for (const auto& output : items) {
          done = done || std::holds_alternative<WorkDone>(output);
        }
      }
    }
    queue.stop();
  });
  std::uint64_t seen = 0;
  for (auto taken = queue.take(long_time); taken.outcome != Outcome::stopped;
       taken = queue.take(long_time)) {
    if (taken.item) {
      EXPECT_EQ(taken.item->token.value, ++seen);
      EXPECT_FALSE(queue.begin());
      queue.finish();
      outputs.push(WorkDone{.token = taken.item->token});
    }
  }
  EXPECT_EQ(seen, rounds);
}

// ---- StreamBuffer -------------------------------------------------------------------------------

std::vector<std::string> texts(const std::vector<EngineOutput>& items) {
  std::vector<std::string> out;
  for (const auto& item : items) {
    if (const auto* message = std::get_if<Published>(&item)) {
      out.push_back(message->topic + " " + message->content);
    }
  }
  return out;
}

SharedBytes header(const std::string& text) {
  const auto owner = std::make_shared<const std::string>(text);
  return {.owner = owner, .bytes = *owner};
}

TEST(StreamBufferTest, TextWaitsUntilItIsFlushed) {
  OutputMailbox outputs(100, [] {});
  StreamBuffer streams(outputs, {});
  streams.write("stdout", "a");
  streams.write("stdout", "b\n");
  streams.write("stderr", "c");
  std::vector<EngineOutput> items;
  outputs.take(items);
  EXPECT_EQ(items.size(), 1U) << "one StreamWaiting";
  items.clear();
  streams.flush();
  outputs.take(items);
  EXPECT_EQ(texts(items),
            (std::vector<std::string>{R"(stdout {"name": "stdout", "text": "ab\u000a"})",
                                      R"(stderr {"name": "stderr", "text": "c"})"}));
}

TEST(StreamBufferTest, MuchTextGoesOutAtOnce) {
  OutputMailbox outputs(100, [] {});
  StreamBuffer streams(outputs, {.bytes_max = 10});
  streams.write("stdout", "12345678901");
  std::vector<EngineOutput> items;
  outputs.take(items);
  EXPECT_EQ(texts(items).size(), 1U);
}

TEST(StreamBufferTest, TextIsBeforeTheMessageThatFollowsAndKeepsItsParent) {
  OutputMailbox outputs(100, [] {});
  StreamBuffer streams(outputs, {});
  streams.set_parent(header("one"));
  streams.write("stdout", "a");
  streams.flush_then({.msg_type = "display_data", .topic = "displaypub", .content = "{}"});
  streams.write("stdout", "b");
  streams.set_parent(header("two"));
  std::vector<EngineOutput> items;
  outputs.take(items);
  std::vector<std::string> parents;
  for (const auto& item : items) {
    if (const auto* message = std::get_if<Published>(&item)) {
      parents.emplace_back(message->parent.bytes);
    }
  }
  EXPECT_EQ(parents, (std::vector<std::string>{"one", "one", "one"}));
  EXPECT_EQ(streams.parent().bytes, "two");
}

TEST(StreamBufferTest, WhatTheIoThreadCollectsComesBehindWhatWasPushed) {
  OutputMailbox outputs(100, [] {});
  StreamBuffer streams(outputs, {});
  streams.flush_then({.msg_type = "display_data", .topic = "displaypub", .content = "{}"});
  streams.write("stdout", "later");
  std::vector<EngineOutput> items;
  ASSERT_TRUE(streams.collect(items));
  EXPECT_EQ(texts(items), (std::vector<std::string>{
                              "displaypub {}", R"(stdout {"name": "stdout", "text": "later"})"}));
}

/// Writers fill a small mailbox while its owner collects: nobody may wait for ever, nothing is
/// lost.
TEST(StreamBufferTest, WritersAndTheCollectorNeverWaitForEachOther) {
  constexpr int writers = 3;
  constexpr int lines = 5'000;
  OutputMailbox outputs(4, [] {});
  StreamBuffer streams(outputs, {.bytes_max = 64});
  std::atomic<int> running{writers};
  std::vector<std::jthread> threads;
  threads.reserve(writers);
  for (int i = 0; i < writers; ++i) {
    threads.emplace_back([&] {
      for (int line = 0; line < lines; ++line) {
        streams.write("stdout", "x");
        if (line % 7 == 0) {
          streams.flush_then({.msg_type = "display_data", .topic = "displaypub", .content = "{}"});
        }
      }
      running.fetch_sub(1);
    });
  }
  std::size_t characters = 0;
  bool more = true;
  while (more) {
    more = running.load() > 0;
    std::vector<EngineOutput> items;
    if (!streams.collect(items)) {
      outputs.take(items);
      more = true;
    }
    for (const auto& item : items) {
      if (const auto* message = std::get_if<Published>(&item);
          message != nullptr && message->topic == "stdout") {
        characters +=
            message->content.size() - std::string_view(R"({"name": "stdout", "text": ""})").size();
      }
    }
  }
  EXPECT_EQ(characters, static_cast<std::size_t>(writers) * lines);
}

}  // namespace
}  // namespace ipf::engine
