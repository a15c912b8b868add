#include "hub/task_questions.hpp"

#include "hub/client_queries.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

void TaskQuestions::ask(TimePoint now,
                        const Message& from,
                        const ExplainRequest& request,
                        HubActions& actions) {
  if (waiting_.size() >= options_.waiting_max) {
    ClientQueries::fail(from, "explain_reply",
                        {"RuntimeError", "too many explain_requests wait for the task scheduler"},
                        actions);
    return;
  }
  waiting_.emplace(++last_token_, Waiting{.request = from, .deadline = now + options_.patience});
  actions.emplace_back(ExplainTasks{.token = last_token_, .msg_ids = request.msg_ids});
}

void TaskQuestions::answer(const TasksExplained& event, HubActions& actions) {
  const auto found = waiting_.find(event.token);
  if (found == waiting_.end()) {
    return;
  }
  Json explanations = Json::object();
  for (const auto& [msg_id, state, reason] : event.explanations) {
    explanations[msg_id] = Json::object({{"state", state}, {"reason", reason}});
  }
  const Json content = Json::object({{"status", "ok"}, {"explanations", std::move(explanations)}});
  actions.emplace_back(SendHubReply{.request = found->second.request,
                                    .msg_type = "explain_reply",
                                    .content = dump_json(content)});
  waiting_.erase(found);
}

void TaskQuestions::expire(TimePoint now, HubActions& actions) {
  while (!waiting_.empty() && waiting_.begin()->second.deadline <= now) {
    ClientQueries::fail(waiting_.begin()->second.request, "explain_reply",
                        {"TimeoutError", "the task scheduler did not answer in time"}, actions);
    waiting_.erase(waiting_.begin());
  }
}

TimePoint TaskQuestions::next_deadline() const {
  return waiting_.empty() ? TimePoint::never() : waiting_.begin()->second.deadline;
}

}  // namespace ipf
