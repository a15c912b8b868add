#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "core/log.hpp"
#include "protocol/error_content.hpp"
#include "protocol/frames.hpp"
#include "protocol/message.hpp"

/// What the client's machine is told and what it orders.
namespace ipf::client {

/// The last part of a msg_id. Callers' requests count up from 0; the machine's own questions to
/// the hub begin at first_own_number, so the two never meet.
using RequestNumber = std::uint64_t;
inline constexpr RequestNumber first_own_number = RequestNumber{1} << 62U;

enum class Channel { query, control, mux, task, broadcast };

/// One engine of a broadcast. It has a request of its own, which no message is sent for.
struct BroadcastPart {
  RequestNumber number{};
  std::string target{};
};

/// What follows our prefix in the msg_id of a part.
inline std::string part_id(RequestNumber broadcast, const std::string& target) {
  return std::to_string(broadcast) + "_" + target;
}

/// A request before it gets its header.
struct NewRequest {
  RequestNumber number{};
  Channel channel{Channel::query};
  std::string type{};
  std::string target{};  ///< uuid of an engine on mux, control and in a part, else empty
  std::vector<BroadcastPart> parts{};  ///< of a broadcast, else empty
  /// In a part the number of the broadcast, which stands in its msg_id.
  std::optional<RequestNumber> broadcast{};
  std::string metadata{"{}"};
  std::string content{"{}"};
  Frames buffers{};
};

enum class ReplyStatus { ok, error, aborted };

struct Engine {
  EngineId id{};
  std::string uuid{};
  bool operator==(const Engine&) const = default;
};

// ---- events -------------------------------------------------------------------------------------

/// The sockets are there.
struct Started {};
struct RequestSubmitted {
  NewRequest request{};
};
/// A verified reply to one of our requests.
struct ReplyArrived {
  RequestNumber number{};
  ReplyStatus status{ReplyStatus::ok};
  std::string engine_uuid{};   ///< empty if the reply does not say
  bool output_follows{false};  ///< an engine made the reply, so it will publish `idle` too
  Message reply;
};
/// The hub's answer to a question of the machine.
struct EnginesListed {
  RequestNumber number{};
  std::vector<Engine> engines{};
};
struct EngineRegistered {
  Engine engine{};
};
struct EngineUnregistered {
  Engine engine{};
};
/// A verified iopub message with one of our requests as parent, other than `status`.
struct OutputPublished {
  RequestNumber number{};
  std::string type{};
  Message message;
};
/// The engine has published everything for this request (`status` with `idle`).
struct OutputEnded {
  RequestNumber number{};
};
/// The connection to the hub broke, and came back.
struct HubLost {};
struct HubFound {};
/// The hub said that it is about to exit.
struct ControllerShutDown {};
/// A deadline of next_deadline() may have passed.
struct TimePassed {};
/// Nothing can be sent or received any more.
struct Closed {
  std::string reason{};
};

using ClientEvent = std::variant<Started,
                                 RequestSubmitted,
                                 ReplyArrived,
                                 EnginesListed,
                                 EngineRegistered,
                                 EngineUnregistered,
                                 OutputPublished,
                                 OutputEnded,
                                 HubLost,
                                 HubFound,
                                 ControllerShutDown,
                                 TimePassed,
                                 Closed>;

// ---- actions ------------------------------------------------------------------------------------

struct SendRequest {
  NewRequest request{};
};
/// The request has its result.
struct CompleteRequest {
  RequestNumber number{};
  ReplyStatus status{ReplyStatus::ok};
  Message reply;
};
/// The request ends without a reply.
struct FailRequest {
  RequestNumber number{};
  RemoteFailure failure{};
};
struct KeepOutput {
  RequestNumber number{};
  std::string type{};
  Message message;
};
/// Output of this request was dropped: it has too much.
struct MarkTruncated {
  RequestNumber number{};
};
/// No more output will come. Every request on mux and task gets this once, after its result or
/// before it, and so do the others together with their result.
struct EndOutput {
  RequestNumber number{};
};
/// The engine is known to the hub that has come back: what it was sent directly and has not
/// answered can be sent again. Before that the controller would refuse it.
struct SendAgain {
  std::string engine_uuid{};
};
/// The whole list, by rising id.
struct PublishEngines {
  std::vector<Engine> engines{};
};
/// The controller is going away; end the connection.
struct CloseClient {
  std::string reason{};
};
struct ClientNote {
  LogLevel level{LogLevel::debug};
  std::string text{};
};

using ClientAction = std::variant<SendRequest,
                                  CompleteRequest,
                                  FailRequest,
                                  KeepOutput,
                                  MarkTruncated,
                                  EndOutput,
                                  SendAgain,
                                  PublishEngines,
                                  CloseClient,
                                  ClientNote>;
using ClientActions = std::vector<ClientAction>;

}  // namespace ipf::client
