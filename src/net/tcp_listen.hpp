#pragma once

#include <string>
#include <string_view>
#include <sys/socket.h>

#include "core/result.hpp"

namespace ipf {

struct ListeningSocket {
  int fd{-1};  ///< non-blocking, closed by exec; the caller's
  int port{};
};

/// Listens on `tcp://ip`, `tcp://*` or `tcp://host`; port 0 takes a free one.
Result<ListeningSocket> listen_tcp(std::string_view interface, int port);

/// `ip:port`, or `?`.
std::string address_text(const sockaddr_storage& address, socklen_t size);

}  // namespace ipf
