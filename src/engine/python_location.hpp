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
  std::string wanted{};                ///< --python: a Python, or the directory of an environment
  std::string virtual_env{};           ///< $VIRTUAL_ENV
  std::string conda_prefix{};          ///< $CONDA_PREFIX
  bool conda_base{};                   ///< that is conda's base, active in every shell of its users
  std::string path{};                  ///< $PATH
  std::filesystem::path program{};     ///< this binary
  std::filesystem::path built_with{};  ///< the Python this binary was built with
  PythonVersion needed{};              ///< of the library that it was built with
  /// Runs a Python and tells its sys.executable and version; asked only when files do not tell.
  std::function<std::optional<std::pair<std::filesystem::path, PythonVersion>>(
      const std::filesystem::path&)>
      ask{};

  /// `wanted` is --python.
  static PythonSearch here(const std::string& wanted);
};

struct PythonLocation {
  std::filesystem::path executable{};  ///< what sys.executable will be
  std::string why{};                   ///< for the log, e.g. "$VIRTUAL_ENV"
  /// An environment of the installation that this binary was built with: its library can be that
  /// Python. Any other (static, of conda, of pyenv) has to run itself, see module_start.hpp.
  bool embeddable{};
};

/// The Python environment of the engine, the first of: --python; $VIRTUAL_ENV; $CONDA_PREFIX; the
/// virtual environment that this binary lies in, also where an active one is of another version,
/// and before conda's base; `python3` on PATH, which may be pyenv's; the Python of the build.
///
/// A Python of another version is an error: the user's packages would silently be missing.
Result<PythonLocation> locate_python(const PythonSearch& search);

}  // namespace ipf::engine
