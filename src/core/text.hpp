#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ipf {

/// `n` bytes of the operating system's random source as lower-case hex; for keys, uuids, sessions.
std::string random_hex(std::size_t bytes);

/// A session id of the protocol: 32 hex digits with a dash after the first eight (protocol.md 3.1).
std::string new_session_id();

/// Compares secrets in time that depends on the length only.
bool equal_constant_time(std::string_view a, std::string_view b);

/// Host name of this machine, "localhost" if there is none.
std::string host_name();

/// What `std::strerror(errno_value)` says, thread-safe.
std::string errno_text(int errno_value);

/// Bytes of "1000", "500M", "4G", "1.5GiB": k, M, G and T are powers of 1024. Empty: it is no size.
std::optional<std::uint64_t> parse_bytes(std::string_view text);

/// `$USER`, else the name of the effective user, else "username".
std::string user_name();

}  // namespace ipf
