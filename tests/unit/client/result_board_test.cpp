#include "client/result_board.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace ipf::client {
namespace {

using namespace std::chrono_literals;

constexpr WallTime now{1'000};

Message message_of(std::size_t bytes) {
  FramesBuilder builder;
  builder.add(delimiter);
  for (int i = 0; i < 5; ++i) {
    builder.add("{}");
  }
  const std::string padding(bytes, 'x');
  builder.add(padding);
  auto split = Message::split(builder.finish());
  return std::move(split).value();
}

Request add(ResultBoard& board, bool listed = true) {
  return Request(board.add("apply_request", "", listed, now));
}

void complete(ResultBoard& board, const Request& request, std::size_t bytes = 0) {
  ClientActions actions;
  actions.emplace_back(CompleteRequest{request.number(), ReplyStatus::ok, message_of(bytes)});
  board.publish(actions, now);
}

void end_output(ResultBoard& board, const Request& request) {
  ClientActions actions;
  actions.emplace_back(EndOutput{request.number()});
  board.publish(actions, now);
}

std::vector<RequestNumber> numbers_of(const std::vector<StatePtr>& states) {
  std::vector<RequestNumber> numbers;
  for (const auto& state : states) {
    numbers.push_back(state->number);
  }
  return numbers;
}

TEST(ResultBoardTest, NumbersCountUpAndMakeMsgIds) {
  ResultBoard board({}, "s_1_");
  EXPECT_EQ(add(board).msg_id(), "s_1_0");
  EXPECT_EQ(add(board).msg_id(), "s_1_1");
  EXPECT_EQ(numbers_of(board.outstanding()), (std::vector<RequestNumber>{0, 1}));
}

TEST(ResultBoardTest, ARequestSaysNothingOfItsReplyBeforeItIsDone) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  EXPECT_FALSE(request.done());
  EXPECT_EQ(request.status(), Status::pending);
  EXPECT_EQ(request.reply_content(), "");
  EXPECT_TRUE(request.reply_buffers().empty());
  EXPECT_FALSE(request.wait(0ns));
  complete(board, request);
  EXPECT_TRUE(request.done());
  EXPECT_EQ(request.status(), Status::ok);
  EXPECT_EQ(request.reply_content(), "{}");
  EXPECT_EQ(request.reply_buffers().size(), 1U);
  EXPECT_TRUE(request.wait(0ns));
  EXPECT_EQ(board.outstanding_count(), 0U);
}

TEST(ResultBoardTest, OutputMayEndAfterTheResult) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  complete(board, request);
  EXPECT_FALSE(request.wait_for_output(0ns));
  ClientActions actions;
  actions.emplace_back(KeepOutput{request.number(), "stream", message_of(0)});
  actions.emplace_back(MarkTruncated{request.number()});
  board.publish(actions, now);
  end_output(board, request);
  EXPECT_TRUE(request.wait_for_output(0ns));
  const Outputs outputs = request.outputs();
  ASSERT_EQ(outputs.items.size(), 1U);
  EXPECT_EQ(outputs.items[0].type, "stream");
  EXPECT_TRUE(outputs.truncated);
}

TEST(ResultBoardTest, AFailureHasNameAndText) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  ClientActions actions;
  actions.emplace_back(FailRequest{request.number(), {.ename = "EngineError", .evalue = "gone"}});
  board.publish(actions, now);
  EXPECT_EQ(request.status(), Status::error);
  EXPECT_EQ(request.local_error_name(), "EngineError");
  EXPECT_EQ(request.local_error_text(), "gone");
  EXPECT_EQ(request.reply_content(), "");
}

TEST(ResultBoardTest, OnlyTheLastFinishedRequestsAreKnownButHandlesStay) {
  ResultBoard board({.kept_results_max = 2}, "s_1_");
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) {
    requests.push_back(add(board));
    complete(board, requests.back());
  }
  EXPECT_EQ(board.find(0), nullptr);
  EXPECT_EQ(board.find(1), nullptr);
  EXPECT_NE(board.find(2), nullptr);
  EXPECT_EQ(numbers_of(board.history()), (std::vector<RequestNumber>{2, 3}));
  EXPECT_EQ(requests[0].reply_content(), "{}");
  // Its output may still end, though the board has forgotten it.
  EXPECT_FALSE(requests[0].output_done());
  end_output(board, requests[0]);
  EXPECT_TRUE(requests[0].output_done());
}

TEST(ResultBoardTest, BytesOfRepliesAreLimitedToo) {
  ResultBoard board({.kept_bytes_max = 10'000}, "s_1_");
  const Request first = add(board);
  complete(board, first, 8'000);
  EXPECT_NE(board.find(0), nullptr);
  complete(board, add(board), 8'000);
  EXPECT_EQ(board.find(0), nullptr);
  EXPECT_NE(board.find(1), nullptr);
}

TEST(ResultBoardTest, TooManyOutstandingRequestsAreRefused) {
  ResultBoard board({.outstanding_max = 2}, "s_1_");
  const Request first = add(board);
  add(board);
  try {
    add(board);
    FAIL() << "the third request was taken";
  } catch (const ClientError& error) {
    EXPECT_EQ(error.code(), ClientErrorCode::too_many);
  }
  complete(board, first);
  EXPECT_EQ(add(board).number(), 2U);
}

TEST(ResultBoardTest, QuestionsToTheHubAreInNoList) {
  ResultBoard board({}, "s_1_");
  add(board, false);
  EXPECT_TRUE(board.outstanding().empty());
  EXPECT_TRUE(board.history().empty());
  EXPECT_EQ(board.outstanding_count(), 1U);
}

TEST(ResultBoardTest, CloseRefusesNewRequestsAndEndsWaitingForEngines) {
  ResultBoard board({}, "s_1_");
  std::jthread closer([&board] { board.close("bye"); });
  EXPECT_FALSE(board.wait_engines(1, 30s));
  EXPECT_TRUE(board.closed());
  EXPECT_THROW(add(board), ClientError);
  EXPECT_EQ(board.close_reason(), "bye");
}

TEST(ResultBoardTest, EnginesArePublishedToThoseWhoWait) {
  ResultBoard board({}, "s_1_");
  EXPECT_FALSE(board.wait_listed(0ns));
  std::jthread io([&board] {
    for (int n = 1; n <= 3; ++n) {
      PublishEngines list;
      for (int i = 0; i < n; ++i) {
        list.engines.push_back({EngineId{i}, "e" + std::to_string(i)});
      }
      ClientActions actions;
      actions.emplace_back(std::move(list));
      board.publish(actions, now);
    }
  });
  EXPECT_TRUE(board.wait_engines(3, 30s));
  EXPECT_EQ(board.engines().back(), (EngineInfo{2, "e2"}));
  EXPECT_EQ(board.engines_version(), 3U);
  EXPECT_FALSE(board.wait_engines(4, 0ns));
}

TEST(CompletionsTest, TellsWhatFinishesInOrder) {
  ResultBoard board({}, "s_1_");
  std::vector<Request> requests{add(board), add(board), add(board)};
  complete(board, requests[1]);
  Completions completions(requests);
  EXPECT_EQ(completions.next(0ns), std::vector<std::uint32_t>{1});
  EXPECT_TRUE(completions.next(0ns).empty());
  complete(board, requests[2]);
  complete(board, requests[0]);
  EXPECT_EQ(completions.next(0ns), (std::vector<std::uint32_t>{2, 0}));
  EXPECT_EQ(completions.open(), 0U);
  EXPECT_TRUE(completions.next().empty());
  EXPECT_TRUE(completions.wait_all());
}

TEST(ResultBoardTest, ABroadcastHasOneRequestForEachEngine) {
  ResultBoard board({}, "s_1_");
  const Request before = add(board);
  const auto states = board.add_broadcast("apply_request", std::vector<std::string>{"x", "y"}, now);
  ASSERT_EQ(states.size(), 2U);
  EXPECT_EQ(states[0]->msg_id(), "s_1_1_x");
  EXPECT_EQ(states[1]->msg_id(), "s_1_1_y");
  EXPECT_EQ(board.find(1, "y"), states[1]);
  EXPECT_EQ(board.find(1, "z"), nullptr);
  EXPECT_EQ(board.find(0, "x"), nullptr);
  EXPECT_EQ(board.outstanding_count(), 3U);
}

TEST(ResultBoardTest, OnlyFinishedRequestsAreForgotten) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  EXPECT_FALSE(board.forget(request.number()));
  complete(board, request);
  EXPECT_TRUE(board.forget(request.number()));
  EXPECT_FALSE(board.forget(request.number()));
  EXPECT_EQ(board.find(request.number()), nullptr);
  end_output(board, request);  // is still expected
  EXPECT_TRUE(request.output_done());
}

TEST(CompletionsTest, RequestsMayBeAddedAtAnyTime) {
  ResultBoard board({}, "s_1_");
  Completions completions(std::span<const Request>{});
  EXPECT_TRUE(completions.next(0s).empty());
  const Request early = add(board);
  const Request late = add(board);
  completions.add(early, 7);
  complete(board, early);
  EXPECT_EQ(completions.next(10s), std::vector<std::uint32_t>{7});
  complete(board, late);
  completions.add(late, 8);
  EXPECT_EQ(completions.next(10s), std::vector<std::uint32_t>{8});
}

TEST(CompletionsTest, AnEmptySetIsComplete) {
  Completions completions({});
  EXPECT_TRUE(completions.wait_all());
  EXPECT_TRUE(completions.next().empty());
}

TEST(CompletionsTest, TheSameRequestMayBeThereTwice) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  Completions completions(std::vector<Request>{request, request});
  complete(board, request);
  EXPECT_TRUE(completions.wait_all(0ns));
}

TEST(CompletionsTest, WaitersWhoGaveUpLeaveNothingBehind) {
  ResultBoard board({}, "s_1_");
  const Request request = add(board);
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(request.wait(0ns));
  }
  EXPECT_LE(request.state()->watchers.size(), 1U);
  complete(board, request);
  EXPECT_TRUE(request.done());
}

TEST(CompletionsTest, ManyThreadsWaitForRequestsOfTheirOwn) {
  constexpr std::size_t threads = 4;
  constexpr std::size_t each = 500;
  ResultBoard board({}, "s_1_");
  std::vector<std::vector<Request>> sets(threads);
  for (auto& set : sets) {
    for (std::size_t i = 0; i < each; ++i) {
      set.push_back(add(board));
    }
  }
  std::vector<std::size_t> told(threads);
  {
    std::vector<std::jthread> waiters;
    for (std::size_t t = 0; t < threads; ++t) {
      waiters.emplace_back([&sets, &told, t] {
        Completions completions(sets[t]);
        while (completions.open() > 0 || told[t] < each) {
          const auto finished = completions.next(30s);
          if (finished.empty()) {
            break;
          }
          told[t] += finished.size();
        }
      });
    }
    std::jthread io([&board, &sets] {
      for (std::size_t i = 0; i < each; ++i) {
        ClientActions actions;
        for (const auto& set : sets) {
          actions.emplace_back(CompleteRequest{set[i].number(), ReplyStatus::ok, message_of(0)});
        }
        board.publish(actions, now);
      }
    });
  }
  EXPECT_EQ(told, std::vector<std::size_t>(threads, each));
}

}  // namespace
}  // namespace ipf::client
