#pragma once

#include "core/clock.hpp"
#include "core/profile.hpp"
#include "monitor/doctor/facts.hpp"

namespace ipf::doctor {

/// Looks at the cluster of a profile: its files, its ports, its hub, its engines. Each step waits
/// `timeout` at most; what cannot be asked because of an earlier failure is left out. Throws
/// nothing. Starts threads.
ClusterFacts probe_cluster(const ProfilePaths& paths, Duration timeout);

}  // namespace ipf::doctor
