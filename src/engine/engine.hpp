#pragma once

#include "engine/engine_options.hpp"
#include "engine/fork_client.hpp"

namespace ipf::engine {

/// The whole life of `ipengine`: nanny, connection, threads, Python; or that of a fork server.
/// Returns the exit status. Call it in the main thread of a process that has no other thread.
/// `start` is what `options` were read from.
int run_engine(const EngineOptions& options, const ProcessStart& start);

}  // namespace ipf::engine
