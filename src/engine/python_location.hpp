#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/result.hpp"

namespace ipf::engine {

/// `3.11` as two numbers.
struct PythonVersion {
  int major{};
  int minor{};
  bool operator==(const PythonVersion&) const = default;
};
std::string to_text(PythonVersion version);

/// What decides which Python an engine uses; filled from the environment by here().
struct PythonSearch {
  std::string virtual_env{};           ///< $VIRTUAL_ENV
  std::string path{};                  ///< $PATH
  std::filesystem::path program{};     ///< this binary
  std::filesystem::path built_with{};  ///< the Python this binary was built with
  PythonVersion needed{};              ///< of the library that is linked
  /// Runs a Python and tells its sys.executable and version; asked only when files do not tell.
  std::function<std::optional<std::pair<std::filesystem::path, PythonVersion>>(
      const std::filesystem::path&)>
      ask{};

  static PythonSearch here();
};

struct PythonLocation {
  std::filesystem::path executable{};  ///< what sys.executable will be
  std::string why{};                   ///< for the log, e.g. "$VIRTUAL_ENV"
};

/// The Python environment of the engine, the first that fits of: $VIRTUAL_ENV; the virtual
/// environment that this binary lies in; `python3` on PATH; the Python of the build. An active
/// $VIRTUAL_ENV of another version is an error when this binary does not lie in an environment of
/// its own: the user's packages would silently be missing.
Result<PythonLocation> locate_python(const PythonSearch& search);

}  // namespace ipf::engine
