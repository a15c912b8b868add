#pragma once

#include <cstdint>
#include <sys/types.h>

#include "core/clock.hpp"

namespace ipf {

/// When the process started, in clock ticks since boot; 0 when there is no such process or it is a
/// zombie. A pid together with this number names one process for ever, a pid alone does not.
std::uint64_t process_start_ticks(pid_t pid);

/// True when `pid` runs (zombies do not) and, if start_ticks is not 0, is still the same process.
bool process_alive(pid_t pid, std::uint64_t start_ticks = 0);

/// Memory of the process in RAM, shared pages included; 0 when it cannot be read.
std::uint64_t resident_bytes(pid_t pid);

/// What this process has used.
struct ProcessUsage {
  Duration cpu{};                  ///< of all threads, user and system
  std::uint64_t resident_bytes{};  ///< now; 0 when it cannot be read
};
ProcessUsage process_usage();

}  // namespace ipf
