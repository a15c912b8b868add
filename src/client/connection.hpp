#pragma once

#include <filesystem>
#include <string>

#include "core/result.hpp"
#include "ipyfleet/types.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/curve.hpp"

namespace ipf::client {

/// A connection file that was found, and where.
struct FoundConnection {
  ConnectionInfo info{};
  std::string file{};        ///< "" when the caller gave the text itself
  std::string interface{};   ///< `tcp://ip` that this machine can reach
  std::string ssh_server{};  ///< set when a tunnel is needed; `ssh_host` is the controller's then,
  std::string ssh_host{};    ///< as the server sees it
  CurvePtr curve{};          ///< set when the controller wants everything encrypted
};

/// Reads the connection file that the options name. Fails when there is none (the text says how a
/// cluster is started), or when it is wrong.
Result<FoundConnection> find_connection(const ConnectOptions& options);

}  // namespace ipf::client
