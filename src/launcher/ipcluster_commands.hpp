#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "core/profile.hpp"
#include "launcher/cluster.hpp"
#include "launcher/ipcluster_cli.hpp"

namespace ipf {

/// What the application provides for the commands.
struct IpclusterServices {
  std::ostream& out;
  std::ostream& err;
  /// Makes the hub query that counts registered engines. Called once for a start, after the last
  /// fork, so it may open sockets and start threads. Empty: the engines' logs are counted.
  std::function<RegisteredEngines()> make_registered{};
  /// The commands that need a client; they return the exit code.
  std::function<int(const TopCommand&, const ProfilePaths&)> top{};
  std::function<int(const DoctorCommand&, const ProfilePaths&)> doctor{};
};

/// Runs one command and returns the exit code. Failures are told in one line `ipcluster: ...` on
/// `err`, followed by the end of a log where that explains it. May fork: no thread may exist yet.
int run_ipcluster(const CommandLine& command_line, const IpclusterServices& services);

/// The two lines of Python that connect a client to the cluster (seeds.md row 77).
std::string connect_lines(const ProfileOptions& profile, const ProfilePaths& paths);

}  // namespace ipf
