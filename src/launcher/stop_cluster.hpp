#pragma once

#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"

namespace ipf {

/// Ends the cluster at `paths` and removes its files: `ipcluster stop`.
///
/// Asks ipcluster (which ends its children) or, when that is gone, the recorded processes, with
/// `signal`; after 5 s everything left over gets SIGKILL, at most 2 s more later this returns.
/// True when something was stopped, false when nothing ran (left-over files are removed all the
/// same) or no such cluster is known. Fails when a process survives, or when the cluster belongs to
/// another machine.
Result<bool> stop_cluster(const ProfilePaths& paths, int signal, Log& log);

}  // namespace ipf
