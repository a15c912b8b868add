#pragma once

#include "engine/nanny_link.hpp"

namespace ipf::engine {

/// Tells the hub that the engine is gone. Returns when the message has left, after a second at
/// most; makes no thread that outlives the call.
void announce_death(const EngineCard& card);

}  // namespace ipf::engine
