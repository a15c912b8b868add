#pragma once

#include <optional>
#include <string>
#include <string_view>

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

  /// From the query, mux, task and control sockets.
  Read read_reply(Channel channel, Frames frames);
  /// From the notification socket.
  Read read_notification(Frames frames);
  /// From the iopub socket.
  Read read_output(Frames frames);

 private:
  /// The number of our request that the message answers, if it does.
  Result<std::optional<RequestNumber>> parent_number(const Message& message);
  Read read_engine_reply(RequestNumber number, Message message);

  const Signer& signer_;
  std::string prefix_;
  ReplayGuard guard_;
  HeaderReader headers_;
};

}  // namespace ipf::client
