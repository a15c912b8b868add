#pragma once

#include <span>

#include "ipyfleet/result.hpp"
#include "ipyfleet/types.hpp"

namespace ipf::client {

class Core;

/// Future::cancel() and Future::abort() for requests of this client. Throw ClientError when the
/// client is closed.
bool cancel_requests(Core& core, std::span<const Request> requests, Timeout grace);
void abort_requests(Core& core, std::span<const Request> requests);

}  // namespace ipf::client
