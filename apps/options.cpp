#include "apps/options.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <unistd.h>
#include <utility>

#include <CLI/CLI.hpp>

#include "core/log_pruning.hpp"
#include "net/log_spdlog.hpp"
#include "protocol/connection_file.hpp"

namespace ipf {

void add_profile_options(CLI::App& app, ProfileOptions& to) {
  app.add_option("--profile,--BaseParallelApplication.profile", to.profile,
                 "IPython profile (default: default)");
  app.add_option("--profile-dir,--ProfileDir.location", to.profile_dir,
                 "Profile directory, instead of a profile's name");
  app.add_option("--ipython-dir", to.ipython_dir,
                 "Where the profiles are (default: $IPYTHONDIR or ~/.ipython)");
  app.add_option("--cluster-id", to.cluster_id,
                 "Name of this cluster, to run several in one profile");
}

void add_log_options(CLI::App& app, LogChoice& to) {
  app.add_option("--log-level", to.level, "debug, info, warning or error")->capture_default_str();
  app.add_flag("--debug", to.debug, "Same as --log-level=debug");
  app.add_flag("--quiet", to.quiet, "Same as --log-level=error");
  app.add_option("--log-format", to.format, "text, or json: a JSON object in each line")
      ->check(CLI::IsMember({"text", "json"}))
      ->envname("IPYFLEET_LOG_FORMAT")
      ->capture_default_str();
  app.add_flag("--log-to-file", to.to_file, "Log to a file in the profile's log directory, too");
}

void add_config_options(CLI::App& app, std::string& ignored) {
  app.add_option("--config", ignored,
                 "One more configuration file (those of the profile are read anyway)");
  app.add_flag("--no-config")->description("Read no configuration file");
}

void take_last_values(CLI::App& app) {
  for (CLI::Option* const option : app.get_options()) {
    if (option->get_expected_max() <= 1) {
      option->take_last();
    }
  }
}

std::optional<int> parse_command_line(CLI::App& app, std::vector<std::string> arguments) {
  try {
    std::ranges::reverse(arguments);  // as CLI11 wants it
    app.parse(std::move(arguments));
    return std::nullopt;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    std::cerr << app.get_name() << ": " << error.what() << " (see " << app.get_name()
              << " --help)\n";
    return usage_error;
  }
}

Result<std::unique_ptr<Log>> open_log(const std::string& name,
                                      const LogChoice& choice,
                                      const ProfilePaths& paths,
                                      const std::string& file_stem) {
  auto level = parse_log_level(choice.debug ? "debug" : choice.quiet ? "error" : choice.level);
  if (!level) {
    return unexpected(level.error());
  }
  LogOptions options{.name = name, .level = *level, .file = {}};
  options.json = choice.format == "json";
  if (choice.to_file) {
    IPF_TRY(make_profile(paths));
    prune_logs(paths.dir);
    options.file =
        paths.log() / (file_stem + paths.dashed_id() + "-" + std::to_string(getpid()) + ".log");
  }
  return make_log(options);
}

Result<std::string> session_key(const std::string& keyfile) {
  constexpr std::size_t key_bytes_max = 4096;
  if (!keyfile.empty()) {
    auto text = read_text_file(keyfile, key_bytes_max);
    if (text) {
      while (!text->empty() && (text->back() == '\n' || text->back() == '\r')) {
        text->pop_back();
      }
      if (text->empty()) {
        return unexpected(ErrorCode::malformed, "key file " + keyfile + " is empty");
      }
    }
    return text;
  }
  return take_variable("IPP_SESSION_KEY");
}

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): no thread yet
  std::string out = value == nullptr ? "" : value;
  unsetenv(name);  // NOLINT(concurrency-mt-unsafe)
  return out;
}

int complain(const char* program, const Error& error) {
  std::cerr << program << ": " << error.message << '\n';
  return EXIT_FAILURE;
}

}  // namespace ipf
