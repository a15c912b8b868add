#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "protocol/curve.hpp"
#include "protocol/frames.hpp"

namespace ipf {

/// What a socket is to its peers.
enum class ZmtpType { router, dealer, pub, sub, xpub };

/// The receiving half of one ZMTP 3 connection, and what has to be answered on it
/// (rfc.zeromq.org/spec/23, /37). Pure: bytes in, messages and control bytes out.
///
///   greeting   64 bytes: signature, version, mechanism
///   handshake  NULL: one READY command each, with socket type and identity; CURVE: see
///   CurveSession ready      frames of messages; PING is answered by PONG; for an XPUB, SUBSCRIBE
///   and CANCEL are
///              messages as older peers send them (`\1` or `\0`, then the topic); other commands
///              are ignored
///
/// Anything else is an Error and ends the connection: a peer of ZMTP 1 or 2, another mechanism, a
/// socket type that does not fit, a message over the limits. libzmq before 4.0 is refused thereby.
///
/// What arrives for a PUB are subscriptions; ours send everything, so it is dropped.
///
/// Small frames are copied into the message's one block; a large one gets storage of its own, and
/// its bytes can be received straight into it (room()).
class ZmtpSession {
 public:
  struct Options {
    ZmtpType type{ZmtpType::router};
    std::string identity{};
    /// Bytes of all frames of one message.
    std::size_t message_bytes_max{std::size_t{4} << 30U};
    std::size_t message_frames_max{1'000'000};
    std::size_t identity_bytes_max{255};
    std::size_t command_bytes_max{65536};
    /// With keys the mechanism is CURVE and everything is encrypted, else NULL.
    CurvePtr curve{};
  };

  explicit ZmtpSession(const Options& options);

  /// What this side says first.
  [[nodiscard]] std::string hello() const;

  /// Takes received bytes, all of them. Complete messages are appended to `messages`, each with the
  /// peer's identity as its first frame; bytes to be sent are appended to `answer`. After an Error
  /// the connection is to be closed. When ready() turns true, what came behind the handshake waits
  /// until set_name(); feed() once more then.
  Result<void> feed(std::string_view bytes, std::vector<Frames>& messages, std::string& answer);

  /// Where the next bytes may be received without a copy; empty unless a large frame is open. After
  /// writing there, call filled() instead of feed().
  [[nodiscard]] std::span<char> room() const;
  Result<void> filled(std::size_t count, std::vector<Frames>& messages, std::string& answer);

  /// Frames have to go through seal() before they are sent.
  [[nodiscard]] bool encrypts() const { return curve_ != nullptr; }
  /// A frame, encrypted and ready to be sent. Only when ready().
  [[nodiscard]] std::string seal(std::string_view frame, bool more);
  /// The same in memory of its own, for large ones; its header is append_zmtp_header()'s.
  [[nodiscard]] SharedBytes seal_large(std::string_view frame, bool more);
  /// A PING, which a living peer of ZMTP 3.1 answers at once.
  [[nodiscard]] std::string ping();

  [[nodiscard]] bool ready() const { return stage_ == Stage::ready; }
  /// Set once ready(): what the peer calls itself, empty if it leaves the name to us.
  [[nodiscard]] const std::string& peer_identity() const { return peer_identity_; }
  /// The first frame of all messages, not empty.
  void set_name(std::string name) { name_ = std::move(name); }
  /// Answers to ping() so far.
  [[nodiscard]] std::uint64_t pongs() const { return pongs_; }
  /// Bytes held for a message that is not complete yet.
  [[nodiscard]] std::size_t held_bytes() const {
    return pending_.size() + message_bytes_ + (large_ == nullptr ? 0 : large_size_);
  }

 private:
  enum class Stage { greeting, handshake, ready };
  static constexpr std::size_t large_frame = Frames::packed_frame_max;

  /// Consumes what it can from the front; the number of bytes.
  Result<std::size_t> parse(std::string_view bytes,
                            std::vector<Frames>& messages,
                            std::string& answer);
  static Result<void> check_beginning(std::string_view bytes);
  Result<void> take_greeting(std::string_view greeting, std::string& answer);
  Result<void> take_command(std::string_view body,
                            std::vector<Frames>& messages,
                            std::string& answer);
  Result<void> take_ready(std::string_view properties);
  Result<void> take_curve(std::string_view body, std::string& answer);
  /// A small encrypted frame.
  Result<void> take_sealed(std::string_view body,
                           std::vector<Frames>& messages,
                           std::string& answer);
  /// Appends a command, encrypted if it has to be.
  void append_command(std::string& out, std::string_view body);
  [[nodiscard]] std::string metadata() const;
  [[nodiscard]] Result<void> check_frame(std::uint64_t size) const;
  template <class Bytes>
  void add_frame(Bytes frame, std::size_t size, bool more, std::vector<Frames>& messages);
  void end_frame(bool more, std::vector<Frames>& messages);

  const Options& options_;
  Stage stage_{Stage::greeting};
  std::unique_ptr<CurveSession> curve_{};  ///< nullptr: the mechanism is NULL
  std::string peer_identity_;
  std::string name_;
  std::string pending_;  ///< an incomplete greeting, command or small frame
  FramesBuilder builder_;
  std::size_t message_bytes_{};
  bool in_message_{false};
  std::uint64_t pongs_{};
  // A large frame that is being received.
  std::shared_ptr<char[]> large_{};  // NOLINT(modernize-avoid-c-arrays)
  std::size_t large_offset_{};       ///< where its bytes begin
  std::size_t large_size_{};
  std::size_t large_filled_{};
  bool large_more_{false};
};

/// Appends the header of a message frame of ZMTP 3.
void append_zmtp_header(std::string& out, std::size_t size, bool more);

/// What a SUB says first, to get everything: `peer`, the name of the connection, which is not sent,
/// and the subscription.
Frames zmtp_subscription(std::string_view peer);

}  // namespace ipf
