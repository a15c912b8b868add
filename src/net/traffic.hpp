#pragma once

#include <cstdint>

namespace ipf {

/// What went through a listening socket since its start. A libzmq socket knows only the messages.
struct Traffic {
  std::uint64_t messages_in{};
  std::uint64_t bytes_in{};
  std::uint64_t messages_out{};
  std::uint64_t bytes_out{};
  std::uint64_t connections{};         ///< now
  std::uint64_t closed{};              ///< by us: no handshake in time, over a limit, bad frames
  std::uint64_t identities_refused{};  ///< claims of an identity whose holder answered
};

}  // namespace ipf
