// Bytes of a TCP connection, in pieces: the first byte of each piece is its length. A session must
// never read outside, hold more than its limit, or give a message without the peer's name.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.hpp"
#include "protocol/zmtp_session.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ipf::ZmtpSession::Options options{.message_bytes_max = 100'000, .message_frames_max = 50};
  ipf::ZmtpSession session(options);
  std::string_view input(reinterpret_cast<const char*>(data), size);
  // Half of the inputs start behind a good handshake, where the frames are.
  std::string hello;
  if (!input.empty() && (data[0] & 1U) != 0) {
    const ipf::ZmtpSession::Options peer{.type = ipf::ZmtpType::dealer, .identity = "peer"};
    hello = ipf::ZmtpSession(peer).hello();
  }
  std::vector<ipf::Frames> messages;
  std::string answer;
  bool named = false;
  const auto feed = [&](std::string_view bytes) {
    auto fed = session.feed(bytes, messages, answer);
    if (fed && session.ready() && !named) {
      named = true;
      session.set_name("name");
      fed = session.feed({}, messages, answer);
    }
    return fed.has_value();
  };
  bool open = hello.empty() || feed(hello);
  while (open && !input.empty()) {
    const std::size_t length = static_cast<std::uint8_t>(input.front());
    input.remove_prefix(1);
    const std::string_view piece = input.substr(0, length);
    input.remove_prefix(piece.size());
    open = feed(piece);
    IPF_CHECK(session.held_bytes() <= options.message_bytes_max + options.command_bytes_max);
  }
  for (const auto& message : messages) {
    IPF_CHECK(message.size() >= 2 && message[0] == "name");
  }
  return 0;
}
