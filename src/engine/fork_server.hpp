#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine.hpp"

namespace ipf::engine {

/// Starts Python, imports IPython and what else is wanted, and then forks an engine for each nanny
/// that asks for one; engines share the memory of what was imported. Returns a value in each
/// engine, and none in the server itself, when its last nanny has gone or there was none for a
/// minute.
///
/// Nothing here makes a thread, so that the engines begin with one. An engine is the server's
/// child, but does not depend on it: the nanny watches the engine, and the server only tells how it
/// ended. SIGTERM changes nothing while nannies are there: they are the ones to stop.
Result<std::optional<ForkedEngine>> serve_forks(const ForkServerOptions& options, Log& log);

/// Replaces the environment of this process, in C and in Python, after a fork.
void enter_environment(const std::vector<std::string>& environment);

}  // namespace ipf::engine
