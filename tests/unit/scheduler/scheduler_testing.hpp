#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/broadcast_machine.hpp"
#include "scheduler/task_machine.hpp"
#include "unit/protocol/protocol_testing.hpp"

/// Builders for the tests of the schedulers. Actions are compared as short lines of text.
namespace ipf::test {

using Lines = std::vector<std::string>;

inline Duration ms(std::int64_t count) {
  return std::chrono::milliseconds{count};
}

inline Message request_message(const std::string& msg_id, const std::string& client = "client") {
  return unsigned_message(
      {.identities = {client},
       .header = R"({"msg_id": ")" + msg_id + R"(", "msg_type": "apply_request"})",
       .buffers = {"call " + msg_id}});
}

inline Message reply_message(const std::string& engine, const std::string& text) {
  return unsigned_message({.identities = {engine, "client"}, .content = text});
}

inline std::string line(const SendTask& action) {
  return (action.first_sight ? "send " : "assign ") + action.msg_id + " to " + action.engine_uuid +
         (action.signed_anew ? ", signed anew" : "");
}
inline std::string line(const ForwardReply& action) {
  return "forward " + action.msg_id + " from " + action.engine_uuid + ": " +
         std::string(action.reply.content());
}
inline std::string line(const FailTask& action) {
  return "fail " + action.msg_id + (action.engine_uuid.empty() ? "" : " of " + action.engine_uuid) +
         ": " + action.failure.ename;
}
inline std::string line(const NoteSubmission& action) {
  return "note " + action.msg_id;
}
/// For the journal only: the tests of restarts look at these themselves.
inline std::string line(const NoteReturn& /*action*/) {
  return {};
}
inline std::string line(const InterruptTask& action) {
  return "signal " + std::to_string(action.signal) + " for " + action.msg_id + " to " +
         action.engine_uuid;
}
inline std::string line(const AbortAtEngine& action) {
  return "abort " + action.msg_id + " at " + action.engine_uuid;
}
inline std::string line(const AnswerAgain& action) {
  return "answer " + action.msg_id + " again";
}
inline std::string line(const TaskLog& action) {
  return "log: " + action.text;
}
inline std::string line(const NoteCall& action) {
  return "note " + action.msg_id;
}
inline std::string line(const SendLegs& action) {
  std::string out = "legs " + action.msg_id + " to";
  for (const auto& target : *action.targets) {
    out += " " + target.uuid;
  }
  return out;
}
inline std::string line(const ForwardLeg& action) {
  return "forward from " + std::string(action.reply.identity(0)) + ": " +
         std::string(action.reply.content());
}
inline std::string line(const FailLeg& action) {
  return "fail leg " + action.msg_id + " of " + action.target.uuid + ": " + action.failure.ename;
}
inline std::string line(const SendCoalesced& action) {
  std::string out = "answer " + action.msg_id + " for";
  for (const auto& target : *action.targets) {
    out += " " + target.uuid + "=" + std::to_string(target.id.value);
  }
  out += " with";
  for (const auto& reply : action.replies) {
    out += " " + std::string(reply.content());
  }
  if (action.failed_reply) {
    out += ", failed " + std::to_string(*action.failed_reply);
  }
  out += action.failure ? ", " + action.failure->evalue : "";
  return action.tell_client ? out : out + ", for the record";
}

template <class Action>
Lines lines(const std::vector<Action>& actions) {
  Lines out;
  for (const auto& action : actions) {
    auto text = std::visit([](const auto& concrete) { return line(concrete); }, action);
    if (!text.empty()) {
      out.push_back(std::move(text));
    }
  }
  return out;
}

/// What a task asks for; times in milliseconds.
struct TaskWish {
  std::vector<std::string> targets{};
  int retries{0};
  std::int64_t timeout_ms{0};
  DependencySpec after{};
  DependencySpec follow{};
  int priority{0};
  std::int64_t run_timeout_ms{0};
  ResourceMap resources{};
  std::uint64_t client{};
};

/// Dependencies that all have to succeed, any of which has to, and so on.
inline DependencySpec all_of(std::vector<std::string> ids) {
  return {.msg_ids = std::move(ids)};
}
inline DependencySpec any_of(std::vector<std::string> ids) {
  return {.msg_ids = std::move(ids), .all = false};
}
inline DependencySpec failed(std::vector<std::string> ids, bool all = true) {
  return {.msg_ids = std::move(ids), .all = all, .success = false, .failure = true};
}
inline DependencySpec ended(std::vector<std::string> ids, bool all = true) {
  return {.msg_ids = std::move(ids), .all = all, .success = true, .failure = true};
}

inline TaskOptions options_of(const TaskWish& wish) {
  return {.after = wish.after,
          .follow = wish.follow,
          .targets = wish.targets,
          .timeout_seconds = static_cast<double>(wish.timeout_ms) / 1000,
          .retries = wish.retries,
          .priority = wish.priority,
          .run_timeout_seconds = static_cast<double>(wish.run_timeout_ms) / 1000,
          .resources = wish.resources};
}

/// The task machine with a clock that the test moves; invariants are checked after each step.
class TestTasks {
 public:
  explicit TestTasks(const TaskMachineOptions& options = {}) : machine_(options) {}

  TaskActions step(TaskEvent event) {
    TaskActions actions;
    machine_.step(now_, std::move(event), actions);
    machine_.check_invariants();
    return actions;
  }
  TaskActions submit_for_actions(const std::string& msg_id, const TaskWish& wish = {}) {
    return step(TaskSubmitted{.msg_id = msg_id,
                              .options = options_of(wish),
                              .request = request_message(msg_id),
                              .client = wish.client});
  }
  Lines submit(const std::string& msg_id, const TaskWish& wish = {}) {
    return lines(submit_for_actions(msg_id, wish));
  }
  Lines restore(const std::string& msg_id, const std::string& engine, const TaskWish& wish = {}) {
    return restore({restored(msg_id, engine, wish)});
  }
  Lines restore(std::vector<TaskRestored> tasks) {
    return lines(step(TasksRestored{.tasks = std::move(tasks)}));
  }
  static TaskRestored restored(const std::string& msg_id,
                               const std::string& engine,
                               const TaskWish& wish = {},
                               std::uint64_t handed_over = 0) {
    return {.task = {.msg_id = msg_id,
                     .options = options_of(wish),
                     .request = request_message(msg_id),
                     .client = wish.client},
            .engine_uuid = engine,
            .handed_over = handed_over};
  }
  Lines join(const std::string& uuid, const ResourceMap& resources = {}) {
    return lines(step(EngineJoined{.uuid = uuid, .resources = resources}));
  }
  Lines leave(const std::string& uuid) { return lines(step(EngineLeft{.uuid = uuid})); }
  /// It was lost only because its heart did not answer.
  Lines freeze(const std::string& uuid) {
    return lines(step(EngineLeft{.uuid = uuid, .silent = true}));
  }
  Lines suspect(const std::string& uuid) { return lines(step(EngineSuspected{.uuid = uuid})); }
  Lines trust(const std::string& uuid) { return lines(step(EngineTrusted{.uuid = uuid})); }
  Lines started(const std::string& msg_id, const std::string& uuid) {
    return lines(step(TaskStarted{.msg_id = msg_id, .engine_uuid = uuid}));
  }
  Lines aborted(const std::string& msg_id, const std::string& engine, bool forgotten = true) {
    return lines(step(TaskReplied{.msg_id = msg_id,
                                  .engine_uuid = engine,
                                  .reply = reply_message(engine, "aborted"),
                                  .aborted = true,
                                  .forgotten = forgotten}));
  }
  [[nodiscard]] std::string why(const std::string& msg_id) const {
    const auto found = machine_.explain(now_, msg_id);
    return found.state + ": " + found.reason;
  }
  Lines succeed(const std::string& msg_id, const std::string& engine) {
    return reply(msg_id, engine, true, true, "good");
  }
  Lines error(const std::string& msg_id,
              const std::string& engine,
              const std::string& text = "bad") {
    return reply(msg_id, engine, false, true, text);
  }
  Lines unmet(const std::string& msg_id, const std::string& engine) {
    return reply(msg_id, engine, false, false, "unmet");
  }
  Lines undeliverable(const std::string& msg_id) {
    return lines(step(TaskUndeliverable{.msg_id = msg_id}));
  }
  /// Time passes and the machine is told, as the reactor does.
  Lines wait(std::int64_t milliseconds) {
    now_ = now_ + ms(milliseconds);
    auto actions = step(TaskTimePassed{});
    EXPECT_GT(machine_.next_deadline(), now_) << "a deadline was left behind";
    return lines(actions);
  }

  TaskMachine& machine() { return machine_; }
  [[nodiscard]] TimePoint now() const { return now_; }

 private:
  Lines reply(const std::string& msg_id,
              const std::string& engine,
              bool succeeded,
              bool met,
              const std::string& text) {
    return lines(step(TaskReplied{.msg_id = msg_id,
                                  .engine_uuid = engine,
                                  .succeeded = succeeded,
                                  .dependencies_met = met,
                                  .reply = reply_message(engine, text)}));
  }
  TaskMachine machine_;
  TimePoint now_{1'000'000'000};
};

}  // namespace ipf::test
