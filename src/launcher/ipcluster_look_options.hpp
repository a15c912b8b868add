#pragma once

#include "launcher/ipcluster_cli.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): its own
class App;
}

namespace ipf {

/// Add the subcommands that only look at a cluster, without the options that all have.
CLI::App& add_top(CLI::App& app, TopCommand& to);
CLI::App& add_doctor(CLI::App& app, DoctorCommand& to);

}  // namespace ipf
