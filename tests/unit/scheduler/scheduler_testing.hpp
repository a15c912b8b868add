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
  return (action.first_sight ? "send " : "assign ") + action.msg_id + " to " + action.engine_uuid;
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
    out.push_back(std::visit([](const auto& concrete) { return line(concrete); }, action));
  }
  return out;
}

/// What a task asks for; times in milliseconds.
struct TaskWish {
  std::vector<std::string> targets{};
  int retries{0};
  std::int64_t timeout_ms{0};
  std::vector<std::string> after{};
  std::vector<std::string> follow{};
};

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
    TaskOptions options{.targets = wish.targets,
                        .timeout_seconds = static_cast<double>(wish.timeout_ms) / 1000,
                        .retries = wish.retries};
    options.after.msg_ids = wish.after;
    options.follow.msg_ids = wish.follow;
    return step(TaskSubmitted{
        .msg_id = msg_id, .options = std::move(options), .request = request_message(msg_id)});
  }
  Lines submit(const std::string& msg_id, const TaskWish& wish = {}) {
    return lines(submit_for_actions(msg_id, wish));
  }
  Lines join(const std::string& uuid) { return lines(step(EngineJoined{.uuid = uuid})); }
  Lines leave(const std::string& uuid) { return lines(step(EngineLeft{.uuid = uuid})); }
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
