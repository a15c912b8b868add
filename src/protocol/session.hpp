#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "protocol/frames.hpp"
#include "protocol/signer.hpp"

namespace ipf {

/// What a sender says in a new message; views need to live for the call only.
struct Outgoing {
  std::string_view type{};
  std::string_view parent{"{}"};    ///< the request's header exactly as received
  std::string_view metadata{"{}"};  ///< JSON text
  std::string_view content{"{}"};   ///< JSON text
  std::span<const std::string_view> identities{};
  std::span<const SharedBytes> buffers{};
};

/// One sender of messages: session id, counter and key. One thread.
class Session {
 public:
  /// `id` is the session id (an engine's uuid); `signer` must outlive the session.
  Session(std::string id, std::string_view username, const Signer& signer);

  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] const Signer& signer() const { return signer_; }

  /// The whole message, signed, with a fresh msg_id `<session>_<pid>_<counter>`.
  Frames make(const Outgoing& outgoing, WallTime now);

  /// The msg_id of the message that make() built last.
  [[nodiscard]] const std::string& last_msg_id() const { return last_msg_id_; }

 private:
  void next_header(std::string_view type, WallTime now);

  std::string id_;
  std::string id_prefix_;
  std::string header_tail_;
  const Signer& signer_;
  std::uint64_t counter_{};
  std::string last_msg_id_;
  std::string header_;
  FramesBuilder builder_;
};

}  // namespace ipf
