#pragma once

#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace ipf {

/// A command line together with what the profile's configuration files say.
struct Configured {
  std::vector<std::string> arguments{};  ///< without the program's name; later ones count more
  /// For ipcluster: settings of the chosen launchers, JSON objects; empty: no file was read.
  std::string controller_settings{};
  std::string engine_settings{};
};

/// Whether the program's own parser takes an option like `--IPController.ip` without Python.
using KnownOption = std::function<bool(const std::string& name)>;

/// Reads `<program>_config.py` and `.json` of the profile, the file of --config, and options that
/// are traits of ipyparallel. Python does it (`ipyfleet.config`), and is only started if there is
/// something to read; it has 30 s. What it has to say goes to stderr; secrets go to the
/// environment. Nothing is read with --no-config, and never from the current directory.
///
/// An int is the exit status with which main() ends at once: the configuration was wrong, which is
/// told on stderr, or was to be shown (--show-config).
std::variant<Configured, int> configure(const std::string& program,
                                        std::vector<std::string> arguments,
                                        const KnownOption& known);

}  // namespace ipf
