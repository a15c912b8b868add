#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/result.hpp"
#include "protocol/frames.hpp"
#include "protocol/replay_guard.hpp"
#include "protocol/signer.hpp"

namespace ipf {

/// The frame between routing identities and the signature (protocol.md 3).
inline constexpr std::string_view delimiter = "<IDS|MSG>";

/// `[identity...] <IDS|MSG> signature header parent_header metadata content [buffer...]`
///
/// A message whose shape has been checked: a delimiter and at least five frames behind it. The
/// bytes are as received; nothing is parsed. Cheap to copy.
class Message {
 public:
  /// Finds the first delimiter. Fails when there is none or fewer than five frames follow it.
  static Result<Message> split(Frames frames);

  [[nodiscard]] const Frames& frames() const { return frames_; }
  /// Number of identity frames, which is the place of the delimiter.
  [[nodiscard]] std::size_t identity_count() const { return delimiter_at_; }
  [[nodiscard]] std::string_view identity(std::size_t i) const { return frames_[i]; }
  [[nodiscard]] std::string_view signature() const { return frames_[delimiter_at_ + 1]; }
  [[nodiscard]] std::string_view header() const { return frames_[delimiter_at_ + 2]; }
  [[nodiscard]] std::string_view parent() const { return frames_[delimiter_at_ + 3]; }
  [[nodiscard]] std::string_view metadata() const { return frames_[delimiter_at_ + 4]; }
  [[nodiscard]] std::string_view content() const { return frames_[delimiter_at_ + 5]; }
  [[nodiscard]] std::size_t first_buffer() const { return delimiter_at_ + 6; }
  [[nodiscard]] std::size_t buffer_count() const { return frames_.size() - first_buffer(); }
  [[nodiscard]] std::string_view buffer(std::size_t i) const { return frames_[first_buffer() + i]; }
  [[nodiscard]] SignedParts signed_parts() const {
    return {.header = header(), .parent = parent(), .metadata = metadata(), .content = content()};
  }

 private:
  Message(Frames frames, std::size_t delimiter_at)
      : frames_(std::move(frames)), delimiter_at_(delimiter_at) {}
  Frames frames_;
  std::size_t delimiter_at_{};
};

/// The same message with this signer's signature: its key may have changed since.
Message signed_by(const Message& message, const Signer& signer);

/// The same message with another signature, for a receiver that would take it for a replay: its
/// metadata end with white space, which is different for each `number`.
Message signed_anew(const Message& message, const Signer& signer, std::uint64_t number);

/// Bounds of the JSON frames that a receiver looks into.
inline constexpr std::size_t header_bytes_max = 64UL << 10U;
/// Metadata may hold one pair a target: 10,000 targets are about 600 KiB.
inline constexpr std::size_t metadata_bytes_max = 4UL << 20U;

/// What a receiver does before it looks inside: shape, sizes, signature, in this order. The error
/// code tells which check failed; the caller drops the message and answers nothing.
Result<Message> verify_message(Frames frames, const Signer& signer);

/// verify_message, then the checks for a replay: seen before (ReplayGuard), or signed before the
/// time from which on the signer takes messages.
Result<Message> accept_message(Frames frames, const Signer& signer, ReplayGuard& guard);

}  // namespace ipf
