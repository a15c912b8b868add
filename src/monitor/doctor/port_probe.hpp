#pragma once

#include <string>
#include <vector>

#include "core/clock.hpp"
#include "monitor/doctor/facts.hpp"

namespace ipf::doctor {

struct Port {
  std::string name{};
  int number{};
};

/// Connects to all ports at once and reads the first bytes of ZeroMQ's greeting, `limit` at most.
/// `interface` is `tcp://ip`; `curve` tells which mechanism to offer.
std::vector<PortFacts> probe_ports(const std::string& interface,
                                   const std::vector<Port>& ports,
                                   bool curve,
                                   Duration limit);

}  // namespace ipf::doctor
