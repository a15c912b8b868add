#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/file_io.hpp"
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
  std::optional<FileStamp> stamp{};  ///< of `file`, from before it was read
};

/// Reads the connection file that the options name. Fails when there is none (the text says how a
/// cluster is started), or when it is wrong.
Result<FoundConnection> find_connection(const ConnectOptions& options);

/// Looks whether the file of a connection has been replaced by that of another controller. Not for
/// connections through a tunnel, nor for those without a file. One thread.
class ConnectionWatch {
 public:
  ConnectionWatch(const ConnectOptions& options, const FoundConnection& found);
  /// The connection of the new file, once; nothing while that cannot be read or says the same.
  std::optional<FoundConnection> changed();

 private:
  ConnectOptions options_;
  ConnectionInfo info_;
  std::optional<FileStamp> stamp_;  ///< empty: nothing to look for
};

}  // namespace ipf::client
