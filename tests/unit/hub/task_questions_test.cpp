#include "hub/task_questions.hpp"

#include <variant>

#include <gtest/gtest.h>

#include "unit/hub/hub_testing.hpp"
#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

class TaskQuestionsTest : public testing::Test {
 protected:
  std::uint64_t ask() {
    HubActions actions;
    questions.ask(now, test::unsigned_message({.identities = {"client"}}), {.msg_ids = {"a", "b"}},
                  actions);
    const auto* asked = std::get_if<ExplainTasks>(&actions.at(0));
    return asked == nullptr ? 0 : asked->token;
  }
  static Json content(const HubActions& actions) {
    return Json::parse(std::get<SendHubReply>(actions.at(0)).content);
  }
  TimePoint now{1'000'000'000};
  TaskQuestions questions{{.waiting_max = 2, .patience = std::chrono::seconds(2)}};
};

TEST_F(TaskQuestionsTest, TheAnswerGoesToWhoAskedOnce) {
  const auto first = ask();
  const auto second = ask();
  HubActions actions;
  const TasksExplained answer{
      .token = second,
      .explanations = {{.msg_id = "a", .state = "waiting", .reason = "no engine"}}};
  questions.answer(answer, actions);
  questions.answer(answer, actions);
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(content(actions), Json::parse(R"({"status": "ok", "explanations":
                            {"a": {"state": "waiting", "reason": "no engine"}}})"));
  EXPECT_NE(first, second);
}

TEST_F(TaskQuestionsTest, ASilentSchedulerIsAnErrorInTime) {
  const auto token = ask();
  EXPECT_EQ(questions.next_deadline(), now + std::chrono::seconds(2));
  HubActions actions;
  questions.expire(now + std::chrono::seconds(2), actions);
  ASSERT_EQ(actions.size(), 1U);
  EXPECT_EQ(content(actions).at("ename"), "TimeoutError");
  EXPECT_EQ(questions.next_deadline(), TimePoint::never());
  actions.clear();
  questions.answer({.token = token, .explanations = {}}, actions);
  EXPECT_TRUE(actions.empty());
}

TEST_F(TaskQuestionsTest, TooManyAreRefused) {
  ask();
  ask();
  HubActions actions;
  questions.ask(now, test::unsigned_message({.identities = {"client"}}), {.msg_ids = {"a"}},
                actions);
  EXPECT_EQ(content(actions).at("ename"), "RuntimeError");
}

}  // namespace
}  // namespace ipf
