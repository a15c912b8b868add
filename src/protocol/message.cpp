#include "protocol/message.hpp"

namespace ipf {

Result<Message> Message::split(Frames frames) {
  constexpr std::size_t frames_behind_delimiter = 5;
  for (std::size_t i = 0; i < frames.size(); ++i) {
    if (frames[i] == delimiter) {
      if (frames.size() - i - 1 < frames_behind_delimiter) {
        return unexpected(ErrorCode::malformed, "fewer than five frames behind the delimiter");
      }
      return Message(std::move(frames), i);
    }
  }
  return unexpected(ErrorCode::malformed, "no delimiter frame");
}

Result<Message> verify_message(Frames frames, const Signer& signer) {
  auto message = Message::split(std::move(frames));
  if (!message) {
    return message;
  }
  if (message->header().size() > header_bytes_max || message->parent().size() > header_bytes_max ||
      message->metadata().size() > metadata_bytes_max) {
    return unexpected(ErrorCode::too_large, "header, parent header or metadata over its limit");
  }
  if (!signer.verify(message->signature(), message->signed_parts())) {
    return unexpected(ErrorCode::bad_signature,
                      message->signature().empty() ? "no signature" : "wrong signature");
  }
  return message;
}

Result<Message> accept_message(Frames frames, const Signer& signer, ReplayGuard& guard) {
  auto message = verify_message(std::move(frames), signer);
  if (message && !guard.first_sight(message->signature())) {
    return unexpected(ErrorCode::replayed, "message seen before");
  }
  return message;
}

}  // namespace ipf
