#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace ipf {

/// A key pair of CURVE as libzmq and connection files write it: Z85 text, 40 characters each.
struct CurveKeyPair {
  std::string public_key{};
  std::string secret_key{};
};

/// A new pair from the operating system's random source.
CurveKeyPair make_curve_key_pair();
/// The public key that belongs to a secret one.
Result<std::string> curve_public_key(std::string_view secret_key);

/// How a socket takes part in CURVE. Keys are raw, 32 bytes each; `server_key` is for clients only.
struct CurveOptions {
  bool server{};
  std::string public_key{};
  std::string secret_key{};
  std::string server_key{};
};
using CurvePtr = std::shared_ptr<const CurveOptions>;

/// For sockets that listen, and for sockets that connect. Fail when a text is no key, or when the
/// two of a pair do not belong together; the error does not show them.
Result<CurvePtr> curve_server(const CurveKeyPair& own);
Result<CurvePtr> curve_client(const CurveKeyPair& own, std::string_view server_key);
/// What a connection file asks of a peer: nothing without a server key. Without a pair of its own
/// the peer makes one; of a pair without its public key that is found.
Result<CurvePtr> curve_peer(const CurveKeyPair& own, const std::optional<std::string>& server_key);
/// A pair of which the public key may be missing.
Result<CurveKeyPair> complete_pair(CurveKeyPair given);

std::string z85_encode(std::string_view bytes);
/// Nothing for text that is no Z85.
std::optional<std::string> z85_decode(std::string_view text);

/// One side of a CurveZMQ connection (rfc.zeromq.org/spec/26), after the greeting:
///
///   client  HELLO     ->  server   its short-term key
///   client  <-  WELCOME   server   the server's short-term key, in a cookie
///   client  INITIATE  ->  server   cookie, the client's long-term key with a voucher, metadata
///   client  <-  READY     server   metadata
///   both    MESSAGE                every frame, encrypted and numbered
///
/// The server proves that it has the secret key to the public one that the client knows. Any client
/// key is accepted, as ipyparallel does it. Pure but for the short-term keys, which are random.
class CurveSession {
 public:
  /// In front of the payload of a MESSAGE: name, number, authenticator, flags.
  static constexpr std::size_t overhead = 33;
  enum Flag : unsigned char { flag_more = 1, flag_command = 2 };

  explicit CurveSession(CurvePtr options);
  CurveSession(const CurveSession&) = delete;
  CurveSession& operator=(const CurveSession&) = delete;
  /// Overwrites the keys.
  ~CurveSession();

  /// Body of the client's HELLO.
  std::string hello();

  struct Step {
    std::string answer{};                   ///< body of a command to send; empty: none
    std::optional<std::string> metadata{};  ///< of the peer; it has proved who it is
  };
  /// Takes the body of a command of the handshake; `own_metadata` is what this side tells.
  Result<Step> take(std::string_view body, std::string_view own_metadata);

  /// Appends the body of a MESSAGE with this payload. Only when the handshake is through.
  void seal(std::string_view payload, unsigned char flags, std::span<char> body);

  /// Decrypts the body of a MESSAGE in place; the payload is what comes behind `overhead`. Returns
  /// the flags. An Error is a forged, repeated or cut one.
  Result<unsigned char> open(std::span<char> body);

 private:
  using Key = std::array<unsigned char, 32>;
  using Nonce = std::array<unsigned char, 24>;

  Result<Step> take_hello(std::string_view body);
  Result<Step> take_welcome(std::string_view body, std::string_view own_metadata);
  Result<Step> take_initiate(std::string_view body, std::string_view own_metadata);
  Result<Step> take_ready(std::string_view body);
  void agree_on_session_key();

  enum class Stage { hello, welcome, initiate, ready, open };

  CurvePtr options_;
  Stage stage_;
  Key own_public_{};  ///< of this connection
  Key own_secret_{};
  Key peer_public_{};
  Key shared_{};      ///< of both, for MESSAGE
  Key cookie_key_{};  ///< server only
  std::uint64_t sent_{0};
  std::uint64_t received_{0};
};

}  // namespace ipf
