#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>

namespace ipf {

struct LogLimits {
  std::size_t files_max{200};
  std::uint64_t bytes_max{256U << 20U};
};

/// Removes the oldest logs (`*.log`) of a profile until the rest is
/// within the limits. Logs that may be written to still stay: those that a cluster file names, with
/// those of its engine sets, and those that end in the pid of a living process. Failures do not
/// matter. Returns how many were removed.
std::size_t prune_logs(const std::filesystem::path& profile_dir, const LogLimits& limits = {});

}  // namespace ipf
