#pragma once

#include <string>

#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine_options.hpp"

namespace ipf::engine {

/// `ipengine --ssh`: splits the process. Returns in the child, which becomes the engine, with the
/// interface by which the tunnel reaches the controller. The parent never returns: it holds the
/// tunnel, passes signals on, and ends as the child does. A process of its own, because an engine
/// and its nanny begin without a second thread, and may become another program.
///
/// The ports are those of the connection file, for which it waits. Fails, in the only process that
/// there is, when the file cannot be used.
Result<std::string> split_tunnel(const EngineOptions& options, Log& log);

}  // namespace ipf::engine
