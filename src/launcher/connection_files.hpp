#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/profile.hpp"
#include "core/result.hpp"

namespace ipf {

/// Watches for the client and engine connection files of one start of a controller
/// (protocol.md 2, trap 46: their appearance is the readiness signal).
class ConnectionFiles {
 public:
  /// `controller_args` tell whether the controller reuses old files (--reuse, --restore).
  ConnectionFiles(const ProfilePaths& paths, const std::vector<std::string>& controller_args);

  /// Removes what an earlier controller left, unless it is to be reused. Fails with `unavailable`
  /// when that controller still runs.
  Result<void> remove_stale();

  /// True as soon as both files of this start are there.
  [[nodiscard]] bool ready() const;

  /// Removes what the controller could not, because it was killed; files to be reused stay.
  void remove_left_over() const;

  /// "client file" or the like, for a message about a start that takes too long.
  [[nodiscard]] std::string missing() const;

 private:
  ProfilePaths paths_;
  std::filesystem::path client_;
  std::filesystem::path engine_;
  bool reuse_{};
  std::filesystem::file_time_type old_time_{};  ///< of the reused client file
};

/// True when a controller of this cluster runs: ours holds a lock while it lives; that of
/// ipyparallel is asked by a connection to the registration port in the client file (TCP, at most
/// 100 ms).
bool controller_runs(const ProfilePaths& paths);

}  // namespace ipf
