#include "net/tcp_listen.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <unistd.h>

namespace ipf {

namespace {

std::string errno_text() {
  return std::strerror(errno);  // NOLINT(concurrency-mt-unsafe): glibc's is safe
}

}  // namespace

std::string address_text(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(),
                  port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  return std::string(host.data()) + ":" + port.data();
}

Result<ListeningSocket> listen_tcp(std::string_view interface, int port) {
  const std::string url = std::string(interface) + ":" + (port == 0 ? "*" : std::to_string(port));
  const auto failed = [&](const std::string& why, ErrorCode code = ErrorCode::io) {
    return unexpected(code, "cannot listen on " + url + ": " + why);
  };
  constexpr std::string_view scheme = "tcp://";
  if (!interface.starts_with(scheme)) {
    return failed("only tcp:// is possible", ErrorCode::invalid_argument);
  }
  std::string host(interface.substr(scheme.size()));
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  if (const int failure = getaddrinfo(host == "*" ? "0.0.0.0" : host.c_str(),
                                      std::to_string(port).c_str(), &hints, &found);
      failure != 0) {
    return failed(gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  const int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return failed(errno_text());
  }
  // An option that this kernel lacks costs patience at a restart, not correctness.
  const int yes = 1;
  [[maybe_unused]] const int ignored = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::bind(fd, found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd, 4096) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) {
    const auto code = errno == EADDRINUSE ? ErrorCode::unavailable : ErrorCode::io;
    const std::string why = errno_text();
    close(fd);
    return failed(why, code);
  }
  const std::string text = address_text(bound, size);
  return ListeningSocket{.fd = fd, .port = std::stoi(text.substr(text.rfind(':') + 1))};
}

}  // namespace ipf
