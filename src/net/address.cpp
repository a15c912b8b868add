#include "net/address.hpp"

#include <arpa/inet.h>
#include <array>
#include <ifaddrs.h>
#include <memory>
#include <netdb.h>
#include <set>

#include "core/log.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

std::set<std::string> local_ips() {
  std::set<std::string> out;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) {
    return out;
  }
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr != nullptr && entry->ifa_addr->sa_family == AF_INET) {
      std::array<char, INET_ADDRSTRLEN> text{};
      const auto* address = reinterpret_cast<const sockaddr_in*>(entry->ifa_addr);
      if (inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size()) != nullptr) {
        out.insert(text.data());
      }
    }
  }
  return out;
}

Result<std::string> resolve(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int failure = getaddrinfo(host.c_str(), nullptr, &hints, &list); failure != 0) {
    return unexpected(ErrorCode::not_found, "the controller's location '" + printable(host) +
                                                "' does not resolve: " + gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
  std::array<char, INET_ADDRSTRLEN> text{};
  const auto* address = reinterpret_cast<const sockaddr_in*>(list->ai_addr);
  if (inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size()) == nullptr) {
    return unexpected(ErrorCode::not_found,
                      "the controller's location '" + printable(host) + "' has no IPv4 address");
  }
  return std::string(text.data());
}

}  // namespace

bool is_loopback(std::string_view ip) {
  return ip.starts_with("127.") || ip == "::1" || ip == "localhost";
}

Result<std::string> reachable_interface(std::string_view interface, std::string_view location) {
  const std::size_t at = interface.find("://");
  if (at == std::string_view::npos) {
    return unexpected(ErrorCode::malformed,
                      "interface '" + printable(interface) + "' is no 'proto://ip'");
  }
  const std::string protocol(interface.substr(0, at + 3));
  const std::string_view ip = interface.substr(at + 3);
  if (protocol != "tcp://") {
    return unexpected(ErrorCode::invalid_argument,
                      "interface '" + printable(interface) + "': only tcp:// can be reached");
  }
  if (ip != "*" && ip != "0.0.0.0") {
    return std::string(interface);
  }
  if (location.empty() || location == host_name() || is_loopback(location)) {
    return protocol + "127.0.0.1";
  }
  auto resolved = resolve(std::string(location));
  if (!resolved) {
    return resolved;
  }
  return protocol +
         (is_loopback(*resolved) || local_ips().contains(*resolved) ? "127.0.0.1" : *resolved);
}

bool is_this_machine(std::string_view host) {
  if (host.empty() || host == host_name() || is_loopback(host)) {
    return true;
  }
  const auto resolved = resolve(std::string(host));
  return resolved && (is_loopback(*resolved) || local_ips().contains(*resolved));
}

std::string endpoint_url(std::string_view interface, int port) {
  return std::string(interface) + (interface.starts_with("ipc://") ? "-" : ":") +
         std::to_string(port);
}

std::string host_for_ssh(std::string_view interface, std::string_view location) {
  constexpr std::string_view tcp = "tcp://";
  const std::string_view host =
      interface.starts_with(tcp) ? interface.substr(tcp.size()) : interface;
  if (host != "*" && host != "0.0.0.0") {
    return std::string(host);
  }
  return location.empty() ? "127.0.0.1" : std::string(location);
}

}  // namespace ipf
