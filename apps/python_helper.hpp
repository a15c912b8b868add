#pragma once

#include <chrono>
#include <string>

#include "core/result.hpp"

namespace ipf {

/// Runs a module of the environment's Python (the one beside this program, else the one in PATH)
/// with `question` on its standard input and returns its standard output. Its standard error is
/// ours. Fails if there is no Python, if the module fails, or after `limit`; then it is killed.
Result<std::string> ask_python(const std::string& module,
                               const std::string& question,
                               std::chrono::milliseconds limit);

}  // namespace ipf
