#pragma once

#include <filesystem>
#include <optional>
#include <sys/types.h>

#include "core/result.hpp"
#include "launcher/file_descriptor.hpp"

namespace ipf {

/// `pid/ipcluster[-id].pid`: holds the pid of ipcluster and is locked (flock) while it runs, so
/// that two starts at the same moment cannot both win and a left-over file is no obstacle.
class PidFile {
 public:
  PidFile() = default;
  PidFile(PidFile&&) noexcept = default;
  PidFile& operator=(PidFile&& other) noexcept;
  PidFile(const PidFile&) = delete;
  PidFile& operator=(const PidFile&) = delete;
  ~PidFile() { remove(); }

  /// Creates, locks and fills the file. Fails with `unavailable` when another process holds it.
  static Result<PidFile> create(const std::filesystem::path& file);

  /// The pid in the file if its writer still runs (holds the lock).
  static std::optional<pid_t> holder(const std::filesystem::path& file);

  /// Removes the file, if this object created it.
  void remove();

 private:
  std::filesystem::path file_{};
  FileDescriptor fd_{};
};

}  // namespace ipf
