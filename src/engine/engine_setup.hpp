#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "engine/engine_options.hpp"
#include "engine/nanny.hpp"
#include "engine/python_options.hpp"
#include "engine/restart_policy.hpp"

namespace ipf::engine {

/// What the options of ipengine mean for the parts of an engine process.

/// The controller's file: --file, else the profile's.
std::filesystem::path connection_file(const EngineOptions& options, const ProfilePaths& paths);

/// True when no controller is wanted: by option, or because the file is a kernel's.
bool is_kernel(const EngineOptions& options, const ProfilePaths& paths);

/// The log writes to this process's stderr as it is now, and goes on to do so when descriptor 2 is
/// caught and sent to clients.
Result<std::unique_ptr<Log>> open_log(const EngineOptions& options,
                                      const ProfilePaths& paths,
                                      bool kernel);

RestartOptions restart_options(const EngineOptions& options, Log& log);

/// All but the executable.
PythonOptions python_options(const EngineOptions& options,
                             const ProfilePaths& paths,
                             const EngineSeat& seat);

}  // namespace ipf::engine
