#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace ipf {

/// A Jupyter kernel connection file: where one kernel listens. Holds the key. A port of 0 has not
/// been chosen yet.
struct KernelConnection {
  std::string transport{"tcp"};  ///< "tcp", or "ipc": then `ip` is a path and ports are suffixes
  std::string ip{"127.0.0.1"};
  int shell_port{};
  int iopub_port{};
  int stdin_port{};
  int control_port{};
  int hb_port{};
  std::string key{};
  std::string signature_scheme{"hmac-sha256"};
  std::string kernel_name{};

  bool operator==(const KernelConnection&) const = default;
};

/// True for text that is a kernel's connection file, and not a controller's.
bool is_kernel_connection(std::string_view text);

/// Reads JSON text; `source` (a path) names it in errors. Unknown keys are ignored, missing ports
/// are 0; a wrongly typed key is an error that names the key.
Result<KernelConnection> parse_kernel_connection(std::string_view text, std::string_view source);

/// JSON text as Jupyter writes it, with 2-space indent.
std::string kernel_connection_text(const KernelConnection& connection);

/// Where a channel with this port listens, in ZeroMQ's form.
std::string kernel_url(const KernelConnection& connection, int port);

}  // namespace ipf
