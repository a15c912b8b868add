#pragma once

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

// ---- events (EngineJoined and EngineLeft are those of the task scheduler) -----------------------

struct BroadcastSubmitted {
  std::string msg_id{};
  bool coalescing{false};
  std::vector<BroadcastTarget> targets{};
  Message request;
};
struct BroadcastReplied {
  std::string original_msg_id{};
  std::string engine_uuid{};
  bool succeeded{false};
  Message reply;
};

using BroadcastEvent = std::variant<BroadcastSubmitted, BroadcastReplied, EngineJoined, EngineLeft>;

// ---- actions ------------------------------------------------------------------------------------

/// Send the request to one engine, with the msg_id `<msg_id>_<uuid>`, signed anew.
struct SendLeg {
  std::string msg_id{};
  BroadcastTarget target{};
  Message request;
};
/// Hand one engine's reply, unchanged, to the client.
struct ForwardLeg {
  Message request;
  Message reply;
};
/// Tell the client that this engine cannot answer.
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
  std::vector<BroadcastTarget> targets{};
  Message request;
  std::vector<Message> replies{};             ///< of the engines that answered, in target order
  std::optional<std::size_t> failed_reply{};  ///< index into replies of the first error
  std::optional<RemoteFailure> failure{};     ///< an engine died or was unknown
};

using BroadcastAction = std::variant<SendLeg, ForwardLeg, FailLeg, SendCoalesced, TaskLog>;
using BroadcastActions = std::vector<BroadcastAction>;

}  // namespace ipf
