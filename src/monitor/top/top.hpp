#pragma once

#include <iosfwd>

#include "core/profile.hpp"
#include "launcher/ipcluster_cli.hpp"

namespace ipf::top {

/// `ipcluster top`; returns the exit code. Shows the live view when stdin and stdout are a
/// terminal, else prints to `out`. No thread may exist yet.
int run_top(const TopCommand& command,
            const ProfilePaths& paths,
            std::ostream& out,
            std::ostream& err);

}  // namespace ipf::top
