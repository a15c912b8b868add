#pragma once

#include "engine/engine_options.hpp"

namespace ipf::engine {

/// The whole life of `ipengine`: nanny, connection, threads, Python. Returns the exit status.
/// Call it in the main thread of a process that has no other thread.
int run_engine(const EngineOptions& options);

}  // namespace ipf::engine
