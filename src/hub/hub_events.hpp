#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/log.hpp"
#include "protocol/message.hpp"
#include "protocol/requests.hpp"

/// What the hub machine is told and what it orders. Events are past tense, actions imperative; all
/// are plain structs. The reactor that feeds them owns the sockets, the clocks and the log.
namespace ipf {

enum class TaskQueue { mux, task, broadcast };

// ---- events -------------------------------------------------------------------------------------

/// A verified request on the registration socket. `request.identity(0)` is the way back.
struct HubRequestReceived {
  Message request;
  DecodedRequest decoded;
};
/// The heart of this uuid answered for the first time / has been silent for too long.
struct HeartStarted {
  std::string uuid{};
};
struct HeartStopped {
  std::string uuid{};
};
/// A heart that may stop: it has missed some beats; it beats again after all.
struct HeartSuspected {
  std::string uuid{};
};
struct HeartTrusted {
  std::string uuid{};
};
/// A heart that had stopped beats again: the engine was frozen, or the network was cut.
struct HeartReturned {
  std::string uuid{};
};
/// A request passed the controller on its way to an engine or into the task queue. `engine_uuid`
/// is empty while a load-balanced task waits.
struct RequestSeen {
  TaskQueue queue{TaskQueue::mux};
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
};
/// A load-balanced task was handed to this engine (again, if it moved).
struct TaskAssigned {
  std::string msg_id{};
  std::string engine_uuid{};
};
/// The reply went to the client; `engine_uuid` is empty for failures made by the scheduler.
struct ReplySeen {
  TaskQueue queue{TaskQueue::mux};
  std::string msg_id{};
  std::string engine_uuid{};
  Message reply;
};
/// An iopub message of an engine passed: `stream`, `execute_input`, `execute_result`, `error`,
/// `display_data`, `shutdown_reply` matter here; `status` is not forwarded to the hub at all.
struct OutputSeen {
  std::string msg_type{};
  std::string parent_msg_id{};
  std::string sender_session{};
  Message output;
};
/// The store has done what HubMachine asked it to under this token (Store::ask in store.hpp). Only
/// from stores that do not answer at once.
struct StoreAnswer;
struct StoreAnswered {
  std::uint64_t token{};
  std::shared_ptr<StoreAnswer> answer{};
};
/// The task scheduler's answer to ExplainTasks.
struct TasksExplained {
  struct Explanation {
    std::string msg_id{};
    std::string state{};
    std::string reason{};
  };
  std::uint64_t token{};
  std::vector<Explanation> explanations{};
};
/// A deadline of next_deadline() may have passed.
struct TimePassed {};

using HubEvent = std::variant<HubRequestReceived,
                              HeartStarted,
                              HeartStopped,
                              HeartSuspected,
                              HeartTrusted,
                              HeartReturned,
                              RequestSeen,
                              TaskAssigned,
                              ReplySeen,
                              OutputSeen,
                              StoreAnswered,
                              TasksExplained,
                              TimePassed>;

// ---- actions ------------------------------------------------------------------------------------

/// Answer `request` on the registration socket. `parent` is the request's header, or empty for a
/// registration_reply (protocol.md, trap 16).
struct SendHubReply {
  Message request;
  std::string msg_type{};
  std::string content{};
  bool with_parent{true};
  std::vector<SharedBytes> buffers{};
};
/// Publish on the notification socket. With `parent`: its header becomes the parent header.
struct PublishNotification {
  std::string msg_type{};
  std::string content{};
  std::optional<Message> parent{};
};
/// The engine is complete: schedulers may use it.
struct AnnounceEngine {
  EngineId id{};
  std::string uuid{};
  ResourceMap resources{};
};
/// The engine is gone: schedulers fail or move what it held. `silent`: only its heart stopped; it
/// may be frozen and come back.
struct RetireEngine {
  EngineId id{};
  std::string uuid{};
  bool silent{false};
};
/// Ask the task scheduler why these tasks are where they are; TasksExplained is its answer.
struct ExplainTasks {
  std::uint64_t token{};
  std::vector<std::string> msg_ids{};
};
/// Schedulers give this engine nothing new, or may do so again.
struct SuspectEngine {
  std::string uuid{};
};
struct TrustEngine {
  std::string uuid{};
};
/// The registration of this engine was accepted: report HeartStarted at its first pong.
struct ExpectHeart {
  std::string uuid{};
};
/// Forget the heart of an engine that said good-bye.
struct ForgetHeart {
  std::string uuid{};
};
/// Put this request into the task queue as if the client had sent it again (frames without
/// identities, unsigned: the reactor makes a fresh header, signs and routes it).
struct ResubmitTask {
  std::string new_msg_id{};
  Message original;
};
/// Everything about engines that a restarted controller needs has changed.
struct SaveEngineState {
  std::string json_text{};  ///< `{"engines": {"0": "<uuid>"}, "next_id": 1}`
};
/// End the controller after the replies before this one are on their way.
struct StopController {};
/// Answer with a status_reply: the figures of the hub and of everything around it.
struct ReportStatus {
  Message request;
};
/// One line for the log.
struct WriteLog {
  LogLevel level{LogLevel::info};
  std::string text{};
};

using HubAction = std::variant<SendHubReply,
                               PublishNotification,
                               AnnounceEngine,
                               RetireEngine,
                               ExplainTasks,
                               SuspectEngine,
                               TrustEngine,
                               ExpectHeart,
                               ForgetHeart,
                               ResubmitTask,
                               SaveEngineState,
                               StopController,
                               ReportStatus,
                               WriteLog>;
using HubActions = std::vector<HubAction>;

}  // namespace ipf
