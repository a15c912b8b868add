#include "engine/python_location.hpp"

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string_view>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace ipf::engine {

namespace {

namespace fs = std::filesystem;

/// The leading `3.11` of "3.11.2", "python3.11" after its name was cut off, and the like.
std::optional<PythonVersion> parse_version(std::string_view text) {
  PythonVersion version;
  const char* const begin = text.data();  // NOLINT(bugprone-suspicious-stringview-data-usage)
  const char* const end = begin + text.size();
  const auto major = std::from_chars(begin, end, version.major);
  if (major.ec != std::errc{} || major.ptr == end || *major.ptr != '.') {
    return std::nullopt;
  }
  const auto minor = std::from_chars(major.ptr + 1, end, version.minor);
  if (minor.ec != std::errc{}) {
    return std::nullopt;
  }
  return version;
}

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == std::string_view::npos) {
    return {};
  }
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

/// What pyvenv.cfg says of a virtual environment.
struct VenvConfig {
  std::optional<PythonVersion> version{};  ///< `version` of venv, `version_info` of virtualenv, uv
  fs::path home{};                         ///< where the Python is that it was made from
};

VenvConfig read_venv(const fs::path& venv) {
  std::ifstream file(venv / "pyvenv.cfg");
  VenvConfig out;
  std::string line;
  while (std::getline(file, line)) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) {
      continue;
    }
    const auto key = trimmed(std::string_view(line).substr(0, equals));
    const auto value = trimmed(std::string_view(line).substr(equals + 1));
    if (!out.version && (key == "version" || key == "version_info")) {
      out.version = parse_version(value);
    } else if (key == "home") {
      out.home = value;
    }
  }
  return out;
}

bool is_venv(const fs::path& dir) {
  std::error_code failure;
  return fs::exists(dir / "pyvenv.cfg", failure);
}

std::optional<fs::path> program_at(const fs::path& file) {
  return access(file.c_str(), X_OK) == 0 ? std::optional(file) : std::nullopt;
}

std::optional<fs::path> python_in(const fs::path& bin) {
  const auto found = program_at(bin / "python3");
  return found ? found : program_at(bin / "python");
}

/// The program of this name in the directories of PATH; without a name: its Python.
std::optional<fs::path> on_path(std::string_view path, const std::string& name) {
  while (!path.empty()) {
    const auto colon = path.find(':');
    const fs::path dir(path.substr(0, colon));
    path = colon == std::string_view::npos ? std::string_view{} : path.substr(colon + 1);
    if (!dir.is_absolute()) {
      continue;
    }
    if (auto found = name.empty() ? python_in(dir) : program_at(dir / name)) {
      return found;
    }
  }
  return std::nullopt;
}

bool is_script(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return in.get() == '#' && in.get() == '!';
}

using Identified = std::optional<std::pair<fs::path, PythonVersion>>;

/// Executable and version of a Python; asks it only when its files do not tell.
Identified identify(const fs::path& python, const PythonSearch& search) {
  if (const auto version = read_venv(python.parent_path().parent_path()).version) {
    return std::pair{python, *version};
  }
  std::error_code failure;
  const fs::path real = fs::canonical(python, failure);
  if (!failure && !is_script(real)) {
    const std::string name = real.filename().string();
    constexpr std::string_view prefix = "python";
    if (name.starts_with(prefix)) {
      if (const auto version = parse_version(std::string_view(name).substr(prefix.size()))) {
        return std::pair{python, *version};
      }
    }
  }
  return search.ask ? search.ask(python) : std::nullopt;
}

/// The file of the interpreter that a Python comes down to: of the one that its environment was
/// made from. Empty: it is not there.
fs::path interpreter_file(const fs::path& python, PythonVersion version) {
  const fs::path home = read_venv(python.parent_path().parent_path()).home;
  std::error_code failure;
  for (const auto& file :
       {home.empty() ? python : home / ("python" + to_text(version)), home / "python3", python}) {
    if (fs::path real = fs::canonical(file, failure); !failure) {
      return real;
    }
  }
  return {};
}

Identified ask_python(const fs::path& python) {
  // The path comes from PATH of the same user; single quotes keep the shell away from it.
  std::string quoted = "'";
  for (const char c : python.string()) {
    quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  }
  const std::string command = quoted +
                              "' -c 'import sys; print(sys.executable); print(\"%d.%d\" % "
                              "sys.version_info[:2])' 2>/dev/null </dev/null";
  FILE* pipe = popen(command.c_str(), "re");  // NOLINT(cert-env33-c,bugprone-command-processor)
  if (pipe == nullptr) {
    return std::nullopt;
  }
  std::string text;
  std::array<char, 512> chunk{};
  while (const std::size_t got = fread(chunk.data(), 1, chunk.size(), pipe)) {
    text.append(chunk.data(), got);
  }
  const int status = pclose(pipe);
  const auto newline = text.find('\n');
  if (status != 0 || newline == std::string::npos) {
    return std::nullopt;
  }
  const auto version = parse_version(std::string_view(text).substr(newline + 1));
  if (!version || newline == 0) {
    return std::nullopt;
  }
  return std::pair{fs::path(text.substr(0, newline)), *version};
}

std::string from_environment(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  return value == nullptr ? "" : value;
}

}  // namespace

std::string to_text(PythonVersion version) {
  return std::to_string(version.major) + "." + std::to_string(version.minor);
}

PythonSearch PythonSearch::here(const std::string& wanted) {
  std::error_code failure;
  PythonSearch search;
  search.wanted = wanted;
  search.virtual_env = from_environment("VIRTUAL_ENV");
  search.conda_prefix = from_environment("CONDA_PREFIX");
  search.conda_base = from_environment("CONDA_DEFAULT_ENV") == "base";
  search.path = from_environment("PATH");
  search.program = fs::read_symlink("/proc/self/exe", failure);
  search.built_with = IPF_PYTHON_EXECUTABLE;
  search.needed = {.major = IPF_PYTHON_MAJOR, .minor = IPF_PYTHON_MINOR};
  search.ask = ask_python;
  return search;
}

namespace {

class Locator {
 public:
  explicit Locator(const PythonSearch& search) : search_(search) {}

  Result<PythonLocation> locate() const {
    if (!search_.wanted.empty()) {
      return wanted();
    }
    const auto own = own_python();
    for (const auto& [name, dir, yields] :
         {Active{"$VIRTUAL_ENV", search_.virtual_env, false},
          Active{"$CONDA_PREFIX", search_.conda_prefix, search_.conda_base}}) {
      const auto python = dir.empty() ? std::nullopt : python_in(fs::path(dir) / "bin");
      if (dir.empty() || (yields && own) || (!python && !is_venv(dir))) {
        continue;
      }
      const auto found = python ? identify(*python, search_) : std::nullopt;
      if (found && found->second == search_.needed) {
        return location(found->first, name);
      }
      if (!own) {
        return wrong("the active environment " + dir +
                     (python ? has(found) : std::string(" has no bin/python")));
      }
    }
    if (own) {
      return location(*own, "the environment of this program");
    }
    return from_path();
  }

 private:
  /// An environment that the user has activated.
  struct Active {
    const char* name;
    std::string dir;
    bool yields;  ///< to the environment of this program
  };

  [[nodiscard]] PythonLocation location(const fs::path& python, std::string why) const {
    const fs::path file = interpreter_file(python, search_.needed);
    return {.executable = python,
            .why = std::move(why),
            .embeddable =
                !file.empty() && file == interpreter_file(search_.built_with, search_.needed)};
  }

  [[nodiscard]] static std::string has(const Identified& found) {
    return " has " +
           (found ? "Python " + to_text(found->second) : std::string("no working Python"));
  }

  [[nodiscard]] Error error(const std::string& problem, const std::string& fix) const {
    return {ErrorCode::invalid_argument, problem + ", but this ipengine (" +
                                             search_.program.string() + ") was built for Python " +
                                             to_text(search_.needed) + ": " + fix};
  }

  [[nodiscard]] Unexpected wrong(const std::string& problem) const {
    return unexpected(error(problem,
                            "install ipyfleet in that environment, deactivate it, or name "
                            "another Python with --python=PATH"));
  }

  /// Of the virtual environment that this program lies in.
  [[nodiscard]] std::optional<fs::path> own_python() const {
    const fs::path bin = search_.program.parent_path();
    return read_venv(bin.parent_path()).version == search_.needed ? python_in(bin) : std::nullopt;
  }

  [[nodiscard]] Result<PythonLocation> wanted() const {
    const fs::path named = search_.wanted;
    std::error_code failure;
    const auto python = fs::is_directory(named, failure) ? python_in(named / "bin")
                        : access(named.c_str(), X_OK) == 0
                            ? std::optional(fs::absolute(named, failure))
                        : named.has_parent_path() ? std::nullopt
                                                  : on_path(search_.path, named.string());
    if (!python) {
      return unexpected(
          ErrorCode::invalid_argument,
          "--python=" + search_.wanted + ": neither a program nor a directory with a bin/python3");
    }
    const auto found = identify(*python, search_);
    if (!found) {
      return unexpected(ErrorCode::invalid_argument,
                        "--python=" + search_.wanted + ": this is no Python that can be run");
    }
    if (found->second != search_.needed) {
      return unexpected(error("--python=" + search_.wanted + " is Python " + to_text(found->second),
                              "name one of this version, or run the ipengine of that Python (" +
                                  python->string() + " -m pip install ipyfleet)"));
    }
    return location(found->first, "--python");
  }

  [[nodiscard]] Result<PythonLocation> from_path() const {
    if (const auto python = on_path(search_.path, "")) {
      const auto found = identify(*python, search_);
      if (found && found->second == search_.needed) {
        return location(found->first, "python3 on PATH");
      }
      return unexpected(
          error("python3 on PATH, " + python->string() +
                    (found ? ", is Python " + to_text(found->second) : ", cannot be run"),
                "activate an environment with Python " + to_text(search_.needed) +
                    ", name one with --python=PATH, or install ipyfleet in yours"));
    }
    if (access(search_.built_with.c_str(), X_OK) == 0) {
      return location(search_.built_with, "no python3 on PATH");
    }
    return unexpected(error("there is no python3 on PATH", "activate an environment with Python " +
                                                               to_text(search_.needed) +
                                                               ", or name one with --python=PATH"));
  }

  const PythonSearch& search_;
};

}  // namespace

Result<PythonLocation> locate_python(const PythonSearch& search) {
  return Locator(search).locate();
}

}  // namespace ipf::engine
