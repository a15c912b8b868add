#pragma once

#include <iosfwd>
#include <string>

#include "core/profile.hpp"
#include "launcher/ipcluster_cli.hpp"
#include "monitor/doctor/host_probe.hpp"

namespace ipf::doctor {

/// `ipcluster doctor`: looks, judges and tells; returns the exit code. No thread may exist yet.
///   version      of this program
///   find_python  empty when this build has no engines
int run_doctor(const DoctorCommand& command,
               const ProfilePaths& paths,
               const std::string& version,
               const PythonFinder& find_python,
               std::ostream& out,
               std::ostream& err);

}  // namespace ipf::doctor
