#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "client/client_events.hpp"
#include "core/result.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/message.hpp"
#include "protocol/replay_guard.hpp"
#include "protocol/signer.hpp"

namespace ipf::client {

/// Turns received frames into events. Signatures are verified over the raw bytes before anything is
/// parsed; what fails a check is an Error that the caller counts and drops. One thread.
///
/// An empty optional is a message that is none of our business: another client's output, `busy`.
class MessageReader {
 public:
  using Read = Result<std::optional<ClientEvent>>;

  /// `signer` must outlive the reader; `msg_id_prefix` is what our own msg_ids begin with.
  MessageReader(const Signer& signer, std::string msg_id_prefix);

  /// Replies and outputs of a broadcast have ids of their own, made of its number and the uuid of
  /// the engine; from now on they belong to the requests of its parts.
  void expect_broadcast(RequestNumber number, const std::vector<BroadcastPart>& parts);
  /// The part has its reply or all of its output; after both of them its id is forgotten.
  void end_broadcast_part(RequestNumber part);
  /// From the query, mux, task, broadcast and control sockets.
  Read read_reply(Channel channel, Frames frames);
  /// From the notification socket.
  Read read_notification(Frames frames);
  /// From the iopub socket.
  Read read_output(Frames frames);

 private:
  /// The number of our request that the message answers, if it does.
  Result<std::optional<RequestNumber>> parent_number(const Message& message);
  Read read_engine_reply(RequestNumber number, Message message);
  [[nodiscard]] std::optional<RequestNumber> part_number(std::string_view id) const;

  const Signer& signer_;
  std::string prefix_;
  ReplayGuard guard_;
  HeaderReader headers_;
  struct PartId {
    std::string id{};  ///< what follows the prefix
    bool half_done{false};
  };
  std::unordered_map<std::string, RequestNumber> broadcast_parts_;  ///< by PartId::id
  std::unordered_map<RequestNumber, PartId> broadcast_ids_;
};

}  // namespace ipf::client
