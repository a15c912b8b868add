#pragma once

#include <string>

#include "core/clock.hpp"
#include "ipyfleet/client.hpp"
#include "monitor/doctor/facts.hpp"
#include "protocol/json_text.hpp"

namespace ipf::doctor {

/// Asks all engines on the control channel, then calls those that answered and have nothing else to
/// do; fills in `out.engines`, and `out.paths` for what goes by way of the schedulers. Nothing is
/// left in the queue of an engine that is silent or busy.
///   queues    content of a queue_reply
///   location  the controller's; the engines say whether they can resolve it
void probe_engines(Client& client,
                   const Json& queues,
                   const std::string& location,
                   Duration timeout,
                   ClusterFacts& out);

/// Reads the JSON text of engine_facts.py.
void read_engine_facts(const Json& said, EngineFacts& engine);

}  // namespace ipf::doctor
