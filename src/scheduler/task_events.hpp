#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/log.hpp"
#include "protocol/error_content.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/message.hpp"
#include "scheduler/finished_tasks.hpp"
#include "scheduler/task_progress.hpp"

/// What the task scheduler's machine is told and what it orders.
namespace ipf {

// ---- events -------------------------------------------------------------------------------------

/// A verified request from the client socket; `request.identity(0)` is the way back.
struct TaskSubmitted {
  std::string msg_id{};
  TaskOptions options{};
  Message request;
  /// The same number for all tasks of one client session; clients are served in turn.
  std::uint64_t client{};
};
/// What an earlier controller's journal says of an unfinished task. It was handed to `engine_uuid`,
/// or to nobody if that is empty. It is sent there again: an engine that has it already drops the
/// copy, byte for byte the same, as a replay.
struct TaskRestored {
  TaskSubmitted task;
  std::string engine_uuid{};
  std::uint64_t handed_over{};  ///< the order in which tasks were handed to engines
  std::optional<TaskProgress> progress{};
};
/// All of them, in order of submission; the engines that came back have joined, and the outcomes
/// are restored. One event, because no task may be placed before each has its old place.
struct TasksRestored {
  std::vector<TaskRestored> tasks{};
};
/// What the journal says of a task that was answered: others may depend on it. `engine_uuid` is
/// empty if the scheduler answered, even for an engine: then it ended nowhere (as in FailTask).
struct OutcomeRestored {
  std::string msg_id{};
  std::string engine_uuid{};
  bool succeeded{false};
};
/// Older outcomes, as remembered() of a machine with the same seed gave them.
struct OutcomesRestored {
  std::vector<RememberedOutcome> outcomes{};
};
/// A verified reply from the engine socket.
struct TaskReplied {
  std::string msg_id{};  ///< of the request, from the parent header
  std::string engine_uuid{};
  bool succeeded{false};
  bool dependencies_met{true};
  Message reply;
  bool aborted{false};    ///< the engine left the task out because somebody asked it to
  bool forgotten{false};  ///< and would take it again; engines of ipyparallel never do
};
/// The engine was seen to begin with the task.
struct TaskStarted {
  std::string msg_id{};
  std::string engine_uuid{};
};
/// The hub announced an engine; one that was lost comes back under its old uuid.
struct EngineJoined {
  std::string uuid{};
  ResourceMap resources{};  ///< its capacity
};
/// The hub retired an engine. `silent`: it only stopped to answer, so it may be frozen and go on
/// later; what it was not seen to start is given to others.
struct EngineLeft {
  std::string uuid{};
  bool silent{false};
};
/// The engine misses heartbeats: it gets no new task until it is trusted again or leaves.
struct EngineSuspected {
  std::string uuid{};
};
struct EngineTrusted {
  std::string uuid{};
};
/// A task could not be handed to its engine in time, though the hub holds the engine for alive.
struct TaskUndeliverable {
  std::string msg_id{};
};
/// A deadline of next_deadline() may have passed.
struct TaskTimePassed {};

using TaskEvent = std::variant<TaskSubmitted,
                               TasksRestored,
                               OutcomeRestored,
                               OutcomesRestored,
                               TaskReplied,
                               TaskStarted,
                               EngineJoined,
                               EngineLeft,
                               EngineSuspected,
                               EngineTrusted,
                               TaskUndeliverable,
                               TaskTimePassed>;

// ---- actions ------------------------------------------------------------------------------------

/// Hand the request, unchanged, to this engine.
struct SendTask {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  bool first_sight{true};  ///< no NoteSubmission came before
  /// The engine may have it already: wait for its connection until it has left, or it runs twice.
  bool restored{false};
  /// The engine has seen it and would refuse it as a replay: it needs another signature.
  bool signed_anew{false};
};
/// Hand an engine's reply, unchanged, to the client that sent `request`.
struct ForwardReply {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  Message reply;
};
/// Answer the client with an apply_reply made here (protocol.md 5.4). `engine_uuid` is set when the
/// task ran on an engine: it died, or it took too long.
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
/// The task has left its engine without an answer: it waits again, or its next SendTask follows.
struct NoteReturn {
  std::string msg_id{};
  TaskProgress progress{};
};
/// Send the engine's process a signal because the task runs for too long.
struct InterruptTask {
  std::string msg_id{};
  std::string engine_uuid{};
  int signal{};
};
/// Tell the engine, should it wake up, to leave out a task that is run elsewhere now.
struct AbortAtEngine {
  std::string msg_id{};
  std::string engine_uuid{};
};
/// The client sent a task again that was answered: it may not have got the answer.
struct AnswerAgain {
  std::string msg_id{};
  Message request;
};
struct TaskLog {
  LogLevel level{LogLevel::info};
  std::string text{};
};

using TaskAction = std::variant<SendTask,
                                ForwardReply,
                                FailTask,
                                NoteSubmission,
                                NoteReturn,
                                InterruptTask,
                                AbortAtEngine,
                                AnswerAgain,
                                TaskLog>;
using TaskActions = std::vector<TaskAction>;

}  // namespace ipf
