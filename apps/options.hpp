#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"

namespace CLI {  // NOLINT(readability-identifier-naming): its own
class App;
}

/// What the command lines of ipcontroller, ipengine and ipcluster have in common.
namespace ipf {

inline constexpr int usage_error = 2;

struct LogChoice {
  std::string level{"info"};
  bool debug{false};
  bool quiet{false};
  bool to_file{false};
  std::string format{"text"};
};

/// --profile, --profile-dir, --ipython-dir, --cluster-id and their long trait names.
void add_profile_options(CLI::App& app, ProfileOptions& to);

/// --log-level, --debug, --quiet, --log-to-file.
void add_log_options(CLI::App& app, LogChoice& to);

/// --config and --no-config, which configure() has read before.
void add_config_options(CLI::App& app, std::string& ignored);

/// The last of several values counts: what stands in a file comes first.
void take_last_values(CLI::App& app);

/// Parses; a value is the exit status with which main() ends at once (help, version, wrong usage:
/// one line on stderr).
std::optional<int> parse_command_line(CLI::App& app, std::vector<std::string> arguments);

/// The log as chosen; with to_file it also goes to `<profile>/log/<file_stem><-id>-<pid>.log`.
Result<std::unique_ptr<Log>> open_log(const std::string& name,
                                      const LogChoice& choice,
                                      const ProfilePaths& paths,
                                      const std::string& file_stem);

/// The key from a file, else $IPP_SESSION_KEY, else nothing. The variable is removed from the
/// environment, so that children do not inherit it.
Result<std::string> session_key(const std::string& keyfile);

/// A secret in the environment, which children must not see; before there are threads.
std::string take_variable(const char* name);

/// One line on stderr; returns the exit status 1.
int complain(const char* program, const Error& error);

}  // namespace ipf
