// Bytes of a TCP connection, in pieces: the first byte of each piece is its length. A session must
// never read outside, hold more than its limit, or give a message without the peer's name. The
// first byte of all says where the input begins, see Start.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/check.hpp"
#include "protocol/zmtp_session.hpp"

namespace {

enum Start : unsigned {
  behind_handshake = 1,  ///< where the frames are
  with_curve = 2,        ///< the session is a server that encrypts
  sealed = 4,            ///< each piece is the payload of a frame that its peer encrypts
};

/// Keys are made once: what an input does must not depend on the run more than it has to.
const ipf::CurveKeyPair& server_keys() {
  static const ipf::CurveKeyPair keys = ipf::make_curve_key_pair();
  return keys;
}
const ipf::CurveKeyPair& client_keys() {
  static const ipf::CurveKeyPair keys = ipf::make_curve_key_pair();
  return keys;
}

ipf::ZmtpSession::Options session_options(unsigned start) {
  ipf::ZmtpSession::Options out{.message_bytes_max = 100'000, .message_frames_max = 50};
  if ((start & with_curve) != 0) {
    out.curve = ipf::curve_server(server_keys()).value();
  }
  return out;
}

ipf::ZmtpSession::Options peer_options_for(unsigned start) {
  ipf::ZmtpSession::Options out{.type = ipf::ZmtpType::dealer, .identity = "peer"};
  if ((start & with_curve) != 0) {
    out.curve = ipf::curve_client(client_keys(), server_keys().public_key).value();
  }
  return out;
}

struct Bench {
  explicit Bench(unsigned given)
      : start(given), options(session_options(given)), peer_options(peer_options_for(given)) {}

  bool feed(std::string_view bytes) {
    auto fed = session.feed(bytes, messages, answer);
    if (fed && session.ready() && !std::exchange(named, true)) {
      session.set_name("name");
      fed = session.feed({}, messages, answer);
    }
    IPF_CHECK(session.held_bytes() <=
              options.message_bytes_max + options.command_bytes_max + ipf::CurveSession::overhead);
    return fed.has_value();
  }

  bool shake_hands() {
    std::string to_session = peer.hello();
    std::string to_peer = session.hello();
    std::vector<ipf::Frames> none;
    while (!to_session.empty() || !to_peer.empty()) {
      answer.clear();
      IPF_CHECK(feed(std::exchange(to_session, {})));
      to_peer += std::exchange(answer, {});
      IPF_CHECK(peer.feed(std::exchange(to_peer, {}), none, to_session));
    }
    return session.ready() && peer.ready();
  }

  bool take(std::string_view piece) {
    const bool seals = peer.ready() && (start & (with_curve | sealed)) == (with_curve | sealed);
    const bool more = !piece.empty() && (static_cast<unsigned char>(piece.front()) & 1U) != 0;
    return seals ? feed(peer.seal(piece, more)) : feed(piece);
  }

  unsigned start;
  ipf::ZmtpSession::Options options;
  ipf::ZmtpSession::Options peer_options;
  ipf::ZmtpSession session{options};
  ipf::ZmtpSession peer{peer_options};
  std::vector<ipf::Frames> messages{};
  std::string answer{};
  bool named{false};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  std::string_view input(reinterpret_cast<const char*>(data), size);
  Bench bench(input.empty() ? 0U : data[0]);
  if ((bench.start & behind_handshake) != 0) {
    IPF_CHECK(bench.shake_hands());
  }
  bool open = true;
  while (open && !input.empty()) {
    const std::size_t length = static_cast<std::uint8_t>(input.front());
    input.remove_prefix(1);
    const std::string_view piece = input.substr(0, length);
    input.remove_prefix(piece.size());
    open = bench.take(piece);
  }
  for (const auto& message : bench.messages) {
    IPF_CHECK(message.size() >= 2 && message[0] == "name");
  }
  return 0;
}
