#include "protocol/message.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "core/clock.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

/// Whether the header's date is before the time. Without a readable date it counts as early.
bool signed_too_early(std::string_view header, WallTime not_before) {
  const auto parsed = parse_json_object(header, "header");
  WallTime date;
  return !parsed || !parse_iso(string_or(*parsed, "date"), date) || date < not_before;
}

}  // namespace

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

namespace {

Message with_metadata(const Message& message, const Signer& signer, std::string_view metadata) {
  SignedParts parts = message.signed_parts();
  parts.metadata = metadata;
  const std::size_t signature_at = message.identity_count() + 1;
  const std::size_t metadata_at = signature_at + 3;
  FramesBuilder builder;
  for (std::size_t i = 0; i < message.frames().size(); ++i) {
    if (i == signature_at) {
      builder.add(signer.sign(parts));
    } else if (i == metadata_at) {
      builder.add(metadata);
    } else {
      builder.add(message.frames().shared(i));
    }
  }
  return *Message::split(builder.finish());
}

}  // namespace

Message signed_by(const Message& message, const Signer& signer) {
  return with_metadata(message, signer, message.metadata());
}

Message signed_anew(const Message& message, const Signer& signer, std::uint64_t number) {
  constexpr std::string_view white = " \t\n\r";
  std::string metadata(message.metadata());
  for (++number; number > 0; number /= white.size()) {
    metadata += white[number % white.size()];
  }
  return with_metadata(message, signer, metadata);
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
  if (!message) {
    return message;
  }
  if (!guard.first_sight(message->signature(), message->header())) {
    return unexpected(ErrorCode::replayed, "message seen before");
  }
  if (signer.refuses_dates() && signed_too_early(message->header(), signer.not_before())) {
    return unexpected(ErrorCode::replayed,
                      "its date is from before this controller's start, when the key was in use "
                      "already; see --replay-window if the sender's clock is slow");
  }
  return message;
}

}  // namespace ipf
