#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "engine/engine_output.hpp"
#include "engine/reply_texts.hpp"
#include "net/socket.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/message.hpp"
#include "protocol/session.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

enum class Channel { shell, control };

/// Whom a reply answers.
struct ReplyTarget {
  Channel channel{Channel::shell};
  std::string_view msg_type{};  ///< of the request
  const Message& request;
};

/// The sockets of an engine to one controller, and the session that signs what goes out: the only
/// place that knows how an engine's messages are laid out (protocol.md 1.2, 4.5 to 4.9). One
/// thread.
class EngineLink {
 public:
  /// Opens the registration socket. The signature scheme of `info` must be one that exists.
  EngineLink(ConnectionInfo info, std::string uuid, const std::string& username);

  /// The rest of the ports, when only the registration was known before.
  void set_connection(ConnectionInfo info) { info_ = std::move(info); }
  /// Opens all other sockets; from now on publish and reply work. Fails for a malformed address.
  Result<void> connect(EngineId id);

  [[nodiscard]] const ConnectionInfo& connection() const { return info_; }
  [[nodiscard]] const Signer& signer() const { return signer_; }
  [[nodiscard]] const EngineIdentity& identity() const { return *identity_; }
  [[nodiscard]] std::string registration_url() const;
  [[nodiscard]] Socket& registration() { return registration_; }
  // Empty before connect().
  [[nodiscard]] std::optional<Socket>& shell() { return shell_; }
  [[nodiscard]] std::optional<Socket>& control() { return control_; }
  [[nodiscard]] std::optional<Socket>& ping() { return ping_; }

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

  ConnectionInfo info_;
  std::string uuid_;
  Signer signer_;
  Session session_;
  std::optional<EngineIdentity> identity_{};
  std::string status_topic_{};

  NetContext context_{};  // before its sockets
  Socket registration_;
  std::optional<Socket> shell_{};
  std::optional<Socket> control_{};
  std::optional<Socket> iopub_{};
  std::optional<Socket> ping_{};
  std::optional<Socket> pong_{};

  std::vector<std::string_view> identities_{};  // of the reply that is built
  std::vector<SharedBytes> buffers_{};          // of the message that is built
};

}  // namespace ipf::engine
