#pragma once

#include <filesystem>

#include "core/log.hpp"

namespace ipf::engine {

/// Starts CPython in the calling thread, which then holds the GIL. False when that failed; the
/// reason is in the log. `executable` is what sys.executable will be.
bool start_interpreter(const std::filesystem::path& executable, Log& log);

}  // namespace ipf::engine
