#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "engine/engine_output.hpp"
#include "engine/reply_texts.hpp"
#include "protocol/message.hpp"
#include "protocol/session.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

/// Whose request it is and on which of the two channels it came: the cluster's, or that of a
/// frontend of the engine's own kernel ports.
enum class Channel { shell, control, kernel_shell, kernel_control };

constexpr bool is_shell(Channel channel) {
  return channel == Channel::shell || channel == Channel::kernel_shell;
}
constexpr bool is_kernel(Channel channel) {
  return channel == Channel::kernel_shell || channel == Channel::kernel_control;
}

/// Whom a reply answers.
struct ReplyTarget {
  Channel channel{Channel::shell};
  std::string_view msg_type{};  ///< of the request
  const Message& request;
};

/// Lays out and signs the messages of an engine for one group of peers: the only place that knows
/// how they look (protocol.md 4.5 to 4.9). No IO; one thread.
class EngineMessages {
 public:
  /// `route` is the first frame of all that is published, in front of the topic; empty: none.
  EngineMessages(std::string uuid,
                 const std::string& username,
                 Signer signer,
                 std::string_view route = {})
      : uuid_(std::move(uuid)),
        route_(route),
        signer_(std::move(signer)),
        session_(uuid_, username, signer_) {}
  EngineMessages(const EngineMessages&) = delete;
  EngineMessages& operator=(const EngineMessages&) = delete;

  /// To be called before anything but plain().
  void set_id(EngineId id);
  [[nodiscard]] const EngineIdentity& identity() const { return *identity_; }
  [[nodiscard]] const std::string& uuid() const { return uuid_; }
  [[nodiscard]] const Signer& signer() const { return signer_; }

  /// A message without topic, parent or metadata: what is said to the hub.
  Frames plain(std::string_view type, std::string_view content);
  /// `state`: starting, busy or idle.
  Frames status(std::string_view parent, std::string_view state);
  Frames published(const Published& message);
  /// With the identities of the request in front.
  Frames reply(const ReplyTarget& target,
               const ReplyFacts& facts,
               std::string_view content,
               const Frames& buffers);
  /// What is asked of the frontend that sent `request`: `input_request`.
  Frames question(const Message& request, std::string_view type, std::string_view content);
  /// The hello to a subscriber of iopub.
  Frames welcome(std::string_view subscription);

 private:
  void address_like(const Message& request);
  void address_to(std::string_view topic);

  std::string uuid_;
  std::string route_;
  Signer signer_;
  Session session_;
  std::optional<EngineIdentity> identity_{};
  std::string status_topic_{};
  std::vector<std::string_view> identities_{};  // of the message that is built
  std::vector<SharedBytes> buffers_{};          // of the message that is built
};

}  // namespace ipf::engine
