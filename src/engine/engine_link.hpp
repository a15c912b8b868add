#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine_messages.hpp"
#include "engine/engine_output.hpp"
#include "net/loop_sources.hpp"
#include "net/socket.hpp"
#include "net/zmtp_connector.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/message.hpp"

namespace ipf::engine {

/// The sockets of an engine to one controller (protocol.md 1.2). One thread.
///
/// Requests, replies and outputs go through a ZmtpConnector, in the thread of the loop; libzmq
/// serves what is rare: registration and heartbeats.
class EngineLink {
 public:
  /// A request, with the name of the link that it came on as its first frame.
  struct Received {
    Channel channel{Channel::shell};
    Frames frames{};
  };

  /// Opens the registration socket. The signature scheme of `info` must be one that exists, and its
  /// CURVE key a key; `loop` and `log` must outlive the link.
  EngineLink(ConnectionInfo info,
             const CurveKeyPair& curve_keys,
             const std::string& uuid,
             const std::string& username,
             IoLoop& loop,
             Log& log);
  /// Waits a moment until the last messages have left.
  ~EngineLink();

  /// The rest of the ports, when only the registration was known before.
  void set_connection(ConnectionInfo info) { info_ = std::move(info); }
  /// Opens all other sockets; from now on publish and reply work. Fails for a malformed address.
  Result<void> connect(EngineId id);

  /// The id of this engine, for messages that are made before connect().
  void set_id(EngineId id) { messages_.set_id(id); }
  [[nodiscard]] bool is_connected() const { return ping_.has_value(); }
  /// Makes the sockets for registration and heartbeats again.
  void renew_hub_sockets();
  /// True once for each time that the connection to the controller was lost and is there again.
  bool came_back();
  [[nodiscard]] bool is_up() const;

  [[nodiscard]] const ConnectionInfo& connection() const { return info_; }
  [[nodiscard]] const Signer& signer() const { return messages_.signer(); }
  [[nodiscard]] const EngineIdentity& identity() const { return messages_.identity(); }
  [[nodiscard]] std::string registration_url() const;
  /// Fails for a malformed address.
  Result<void> connect_registration();
  /// A message of the hub.
  std::optional<Frames> receive_registration() { return registration_source_->receive(); }
  /// Nothing before connect().
  std::optional<Frames> receive_ping() {
    return ping_source_ ? ping_source_->receive() : std::nullopt;
  }
  /// The oldest request that has arrived.
  std::optional<Received> receive();
  /// Something has arrived that no wait of the loop would tell of.
  [[nodiscard]] bool pending() const;
  /// Sends what was written since the last call; once a poll round.
  void flush() { queues_.flush(); }
  void check_deadlines(TimePoint now) { queues_.check_deadlines(now); }
  [[nodiscard]] TimePoint next_deadline() const { return queues_.next_deadline(); }

  /// A message to the hub: registration_request, unregistration_request.
  void tell_hub(std::string_view type, std::string_view content);
  void answer_ping(const Frames& ping) { pong_->send(ping); }
  /// `state`: starting, busy or idle.
  void publish_status(std::string_view parent, std::string_view state);
  void publish(const Published& message);
  /// Returns what was sent.
  Frames reply(const ReplyTarget& target,
               const ReplyFacts& facts,
               std::string_view content,
               const Frames& buffers);
  /// A shell reply once more, along the route by which its request came this time.
  void reply_again(const Message& request, const Frames& reply);

 private:
  [[nodiscard]] std::string url(int port) const;
  void open_registration();
  Result<void> connect_heart();

  ConnectionInfo info_;
  EngineMessages messages_;

  IoLoop& loop_;
  CurvePtr curve_;      // nullptr: nothing is encrypted
  NetContext context_;  // before its sockets
  std::optional<Socket> registration_{};
  ZmtpConnector queues_;
  std::optional<Socket> ping_{};
  std::optional<Socket> pong_{};
  std::optional<LoopReceiver> registration_source_{};
  std::optional<LoopReceiver> ping_source_{};
  bool was_up_{};

  std::vector<std::string_view> identities_{};  // of the reply that is sent again
};

}  // namespace ipf::engine
