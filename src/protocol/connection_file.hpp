#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace ipf {

enum class PeerRole { client, engine };

/// A connection file (protocol.md 2.1, 2.2): how a peer reaches the controller. Holds the key.
struct ConnectionInfo {
  std::string ssh{};
  std::string interface{"tcp://127.0.0.1"};  ///< `proto://ip`; the ip may be `*` or `0.0.0.0`
  std::string location{};                    ///< host name or ip of the controller
  std::string key{};                         ///< HMAC key; empty: nothing is signed
  std::string signature_scheme{"hmac-sha256"};
  std::optional<std::string> curve_serverkey{};
  std::string task_scheme{"leastload"};  ///< client file only

  int registration{};
  int control{};
  int mux{};
  int task{};
  int iopub{};
  int notification{};            ///< client file only
  int hb_ping{};                 ///< engine file only
  int hb_pong{};                 ///< engine file only
  std::vector<int> broadcast{};  ///< client: the first; engine: one port a leaf

  bool operator==(const ConnectionInfo&) const = default;
};

/// JSON text in the reference's key order, 2-space indent.
std::string connection_info_text(const ConnectionInfo& info, PeerRole role);

/// Reads JSON text; `source` (a path) names it in errors. Unknown keys are ignored; a missing or
/// wrongly typed key is an error that names the key. Only JSON packers are understood.
Result<ConnectionInfo> parse_connection_info(std::string_view text,
                                             PeerRole role,
                                             std::string_view source);

Result<ConnectionInfo> read_connection_file(const std::filesystem::path& path, PeerRole role);

/// Mode 0600 from the first byte on, complete before the name appears (rename).
Result<void> write_connection_file(const std::filesystem::path& path,
                                   const ConnectionInfo& info,
                                   PeerRole role);

/// Writes any private file that way.
Result<void> write_private_file(const std::filesystem::path& path, std::string_view text);

/// Reads a whole file of at most `bytes_max`, with errors that name path and reason.
Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t bytes_max);

}  // namespace ipf
