#include "sim/mutation.hpp"

#include <algorithm>
#include <utility>
#include <variant>

namespace ipf::sim {

bool Mutation::now() {
  return ++chances_ == 3;
}

void Mutation::options(TaskMachineOptions& options) const {
  if (canary_ == Canary::ignore_hwm && options.hwm > 0) {
    ++options.hwm;
  } else if (canary_ == Canary::wrong_scheme) {
    options.scheme = SchemeName::plainrandom;
  }
}

bool Mutation::event(TaskEvent& event) {
  if (auto* task = std::get_if<TaskSubmitted>(&event)) {
    if (canary_ == Canary::unfair) {
      task->client = 0;
    } else if (canary_ == Canary::forget_dependency) {
      task->options.after = {};
    } else if (canary_ == Canary::forget_follow) {
      task->options.follow = {};
    } else if (canary_ == Canary::forget_targets) {
      task->options.targets.clear();
    }
  }
  if (auto* restored = std::get_if<TasksRestored>(&event);
      restored != nullptr && canary_ == Canary::lose_old_places) {
    for (auto& task : restored->tasks) {
      task.engine_uuid.clear();
    }
  }
  const bool dropped =
      (canary_ == Canary::drop_engine_left && std::holds_alternative<EngineLeft>(event)) ||
      (canary_ == Canary::drop_engine_reply && std::holds_alternative<TaskReplied>(event) && now());
  return !dropped;
}

void Mutation::actions(TaskActions& actions) {
  for (std::size_t i = 0; i < actions.size(); ++i) {
    if (auto* sent = std::get_if<SendTask>(&actions[i])) {
      if (canary_ == Canary::fail_without_reason && now()) {
        FailTask failed{.msg_id = sent->msg_id,
                        .engine_uuid = {},
                        .request = sent->request,
                        .failure = {"EngineError", "canary"}};
        actions.emplace_back(std::move(failed));
        return;
      }
      continue;
    }
    auto* reply = std::get_if<ForwardReply>(&actions[i]);
    if (reply == nullptr) {
      continue;
    }
    if (canary_ == Canary::drop_answer && now()) {
      actions.erase(actions.begin() + static_cast<std::ptrdiff_t>(i));
      return;
    }
    if (canary_ == Canary::double_answer && now()) {
      actions.emplace_back(ForwardReply(*reply));
      return;
    }
    if (canary_ == Canary::swap_answers) {
      if (kept_ && kept_->msg_id != reply->msg_id && now()) {
        reply->reply = kept_->reply;
      }
      kept_ = *reply;
    }
  }
}

bool Mutation::event(const HubEvent& event) {
  const bool dropped =
      (canary_ == Canary::drop_hub_reply && std::holds_alternative<ReplySeen>(event) && now()) ||
      (canary_ == Canary::drop_hub_assignment && std::holds_alternative<TaskAssigned>(event) &&
       now());
  return !dropped;
}

}  // namespace ipf::sim
