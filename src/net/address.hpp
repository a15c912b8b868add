#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace ipf {

/// `tcp://ip` that this machine can use to reach a controller whose connection file says
/// `interface` and `location` (protocol.md 2.3): a wildcard address becomes 127.0.0.1 when the
/// location is this machine, else the address that the location resolves to.
Result<std::string> reachable_interface(std::string_view interface, std::string_view location);

/// The controller's host as an ssh server sees it: the address of the file, or the location where
/// that is a wildcard.
std::string host_for_ssh(std::string_view interface, std::string_view location);

/// True when the name or address is this machine's; false when it cannot be resolved.
bool is_this_machine(std::string_view host);

/// `interface:port`, as ZeroMQ wants it; `interface-port` for ipc://.
std::string endpoint_url(std::string_view interface, int port);

/// True for 127.0.0.0/8, ::1 and localhost.
bool is_loopback(std::string_view ip);

}  // namespace ipf
