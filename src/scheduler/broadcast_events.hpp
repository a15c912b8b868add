#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "protocol/error_content.hpp"
#include "protocol/message.hpp"
#include "scheduler/task_events.hpp"

/// What the broadcast machine is told and what it orders (protocol.md 6).
namespace ipf {

/// One engine that a broadcast names.
struct BroadcastTarget {
  std::string uuid{};
  EngineId id{};
  bool operator==(const BroadcastTarget&) const = default;
};

/// Shared between the machine's table and its actions: a thousand targets are copied once.
using BroadcastTargets = std::shared_ptr<const std::vector<BroadcastTarget>>;

// ---- events (EngineJoined and EngineLeft are those of the task scheduler) -----------------------

struct BroadcastSubmitted {
  std::string msg_id{};
  bool coalescing{false};
  std::vector<BroadcastTarget> targets{};
  Message request;
};
/// The engine that the socket names answered its leg of this call.
struct BroadcastReplied {
  std::string original_msg_id{};
  std::string engine_uuid{};
  bool succeeded{false};
  Message reply;
};
/// The leg of this engine could not be sent: its connection never came.
struct LegUndeliverable {
  std::string original_msg_id{};
  std::string engine_uuid{};
};

using BroadcastEvent =
    std::variant<BroadcastSubmitted, BroadcastReplied, LegUndeliverable, EngineJoined, EngineLeft>;

// ---- actions ------------------------------------------------------------------------------------

/// Tell the hub of a coalescing call, so that it has a record. The legs of a plain call have
/// records of their own, under the msg_ids that clients know.
struct NoteCall {
  std::string msg_id{};
  Message request;
};
/// Send the request to each of these engines, with the msg_id `<msg_id>_<uuid>`, signed anew.
struct SendLegs {
  std::string msg_id{};
  bool coalescing{false};
  BroadcastTargets targets{};
  Message request;
};
/// Hand one engine's reply, unchanged, to the client.
struct ForwardLeg {
  std::string msg_id{};
  std::string engine_uuid{};
  Message request;
  Message reply;
};
/// Tell the client of a plain call that this engine cannot answer.
struct FailLeg {
  std::string msg_id{};
  BroadcastTarget target{};
  Message request;
  RemoteFailure failure{};
};
/// One reply for all: the buffers of `replies` one after the other, in target order. With a
/// `failure` or a failed reply the whole call is an error.
struct SendCoalesced {
  std::string msg_id{};
  BroadcastTargets targets{};
  Message request;
  std::vector<Message> replies{};             ///< of the engines that answered, in target order
  std::optional<std::size_t> failed_reply{};  ///< index into replies of the first error
  std::optional<RemoteFailure> failure{};     ///< an engine died, was unknown or not to be reached
  /// False when an engine died: clients end such a call themselves when they hear the notification,
  /// and would report a second answer as one to an unknown call. The answer is for the record only.
  bool tell_client{true};
};

using BroadcastAction =
    std::variant<NoteCall, SendLegs, ForwardLeg, FailLeg, SendCoalesced, TaskLog>;
using BroadcastActions = std::vector<BroadcastAction>;

}  // namespace ipf
