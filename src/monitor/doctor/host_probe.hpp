#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/clock.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"
#include "monitor/doctor/facts.hpp"

namespace ipf::doctor {

/// The Python that engines here would use, and what chose it.
using PythonFinder = std::function<Result<std::pair<std::string, std::string>>()>;

struct HostProbe {
  ProfilePaths paths{};
  std::string version{};              ///< of this program
  std::string controller_launcher{};  ///< short names
  std::string engine_launcher{};
  std::string controller_settings{};  ///< JSON objects, see LaunchOptions::settings_json
  std::string engine_settings{};
  PythonFinder find_python{};  ///< empty: this build has no engines
  Duration timeout{};          ///< for the programs that are asked, together
};

/// Looks at this host. Changes nothing; writes no file.
HostFacts probe_host(const HostProbe& probe);

/// Owner, permissions and whether it can be read.
FileFacts look_at(const std::string& path);

}  // namespace ipf::doctor
