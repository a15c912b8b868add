#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/file_io.hpp"
#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine_options.hpp"
#include "engine/engine_reactor.hpp"
#include "protocol/connection_file.hpp"

namespace ipf::engine {

/// A connection as ipengine's options ask for it.
struct FoundConnection {
  ConnectionInfo info{};    ///< with an interface that this machine can reach
  bool ports_from_reply{};  ///< no file: the controller tells the other ports
};

/// Finds the controller: $IPP_CONNECTION_INFO, else --controller-ip and -port with a key, else the
/// connection file, for which it waits. One thread, blocking; before the engine's threads start.
class ConnectionSource final : public ConnectionWatch {
 public:
  ConnectionSource(const EngineOptions& options, std::filesystem::path file, Log& log)
      : options_(options), file_(std::move(file)), log_(log) {}

  Result<FoundConnection> find();
  /// The file has been replaced since it was read, by the file of another controller.
  std::optional<ConnectionInfo> changed() override;

 private:
  Result<ConnectionInfo> wait_for_file();
  Result<ConnectionInfo> with_overrides(ConnectionInfo info) const;

  const EngineOptions& options_;
  std::filesystem::path file_;
  Log& log_;
  std::optional<FileStamp> read_state_{};  ///< empty: the connection is not from the file
  std::optional<ConnectionInfo> last_{};
};

}  // namespace ipf::engine
