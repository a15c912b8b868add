#pragma once

#include <cstdint>
#include <sys/types.h>
#include <vector>

namespace ipf::engine {

/// The process and everything it has started that still has it as an ancestor, itself first.
/// Empty when it is gone.
std::vector<pid_t> process_tree(pid_t root);

/// Bytes of memory that the processes use: shared pages count for each (fast).
std::uint64_t resident_bytes(const std::vector<pid_t>& processes);
/// Likewise, but a page that is shared by n processes counts as 1/n (slow: milliseconds for each
/// gigabyte).
std::uint64_t proportional_bytes(const std::vector<pid_t>& processes);

/// SIGKILL to everything that `root` has started, not to `root` itself.
void kill_descendants(pid_t root);

}  // namespace ipf::engine
