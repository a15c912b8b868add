#pragma once

#include <string>
#include <variant>
#include <vector>

#include "core/log.hpp"
#include "protocol/error_content.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/message.hpp"

/// What the task scheduler's machine is told and what it orders.
namespace ipf {

// ---- events -------------------------------------------------------------------------------------

/// A verified request from the client socket; `request.identity(0)` is the way back.
struct TaskSubmitted {
  std::string msg_id{};
  TaskOptions options{};
  Message request;
};
/// A verified reply from the engine socket.
struct TaskReplied {
  std::string msg_id{};  ///< of the request, from the parent header
  std::string engine_uuid{};
  bool succeeded{false};
  bool dependencies_met{true};
  Message reply;
};
/// The hub announced or retired an engine.
struct EngineJoined {
  std::string uuid{};
};
struct EngineLeft {
  std::string uuid{};
};
/// A task could not be handed to its engine in time, though the hub holds the engine for alive.
struct TaskUndeliverable {
  std::string msg_id{};
};
/// A deadline of next_deadline() may have passed.
struct TaskTimePassed {};

using TaskEvent = std::variant<TaskSubmitted,
                               TaskReplied,
                               EngineJoined,
                               EngineLeft,
                               TaskUndeliverable,
                               TaskTimePassed>;

// ---- actions ------------------------------------------------------------------------------------

/// Hand the request, unchanged, to this engine.
struct SendTask {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  bool first_sight{true};  ///< no NoteSubmission came before
};
/// Hand an engine's reply, unchanged, to the client that sent `request`.
struct ForwardReply {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  Message reply;
};
/// Answer the client with an apply_reply made here (protocol.md 5.4). `engine_uuid` is set when an
/// engine died with the task.
struct FailTask {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  RemoteFailure failure{};
};
/// Tell the hub, so that it has a record: the task waits for an engine (its SendTask comes later)
/// or fails at once (its FailTask comes next).
struct NoteSubmission {
  std::string msg_id{};
  Message request;
};
struct TaskLog {
  LogLevel level{LogLevel::info};
  std::string text{};
};

using TaskAction = std::variant<SendTask, ForwardReply, FailTask, NoteSubmission, TaskLog>;
using TaskActions = std::vector<TaskAction>;

}  // namespace ipf
