#pragma once

#include <filesystem>
#include <string>

#include "core/result.hpp"
#include "engine/fork_client.hpp"

namespace ipf::engine {

/// An engine in a Python that this program cannot embed (static, or of another installation): the
/// process becomes `PYTHON`, which imports ipyfleet._engine, the same engine as a module. What it
/// is to be comes over a descriptor, so that no secret is on the command line or in the
/// environment.

/// Replaces this process; returns only when that is not possible. `descriptors` may hold -1.
Error become_python(const std::filesystem::path& python,
                    const ForkRequest& request,
                    const ForkDescriptors& descriptors);

/// In the module: what become_python() was given. Closes `fd`.
Result<ForkedEngine> read_order(int fd);

/// Of ForkedEngine and the environment of a process: entries that only ipengine itself may see.
[[nodiscard]] bool is_secret(const std::string& environment_entry);

}  // namespace ipf::engine
