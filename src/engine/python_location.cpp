#include "engine/python_location.hpp"

#include <Python.h>

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

/// The version in pyvenv.cfg (`version` of venv, `version_info` of virtualenv and uv).
std::optional<PythonVersion> venv_version(const fs::path& venv) {
  std::ifstream file(venv / "pyvenv.cfg");
  std::string line;
  while (std::getline(file, line)) {
    const auto equals = line.find('=');
    if (equals == std::string::npos) {
      continue;
    }
    const auto key = trimmed(std::string_view(line).substr(0, equals));
    if (key == "version" || key == "version_info") {
      return parse_version(trimmed(std::string_view(line).substr(equals + 1)));
    }
  }
  return std::nullopt;
}

bool is_venv(const fs::path& dir) {
  std::error_code failure;
  return fs::exists(dir / "pyvenv.cfg", failure);
}

std::optional<fs::path> python_in(const fs::path& bin) {
  for (const char* name : {"python3", "python"}) {
    if (access((bin / name).c_str(), X_OK) == 0) {
      return bin / name;
    }
  }
  return std::nullopt;
}

std::optional<fs::path> on_path(std::string_view path) {
  while (!path.empty()) {
    const auto colon = path.find(':');
    const fs::path dir(path.substr(0, colon));
    path = colon == std::string_view::npos ? std::string_view{} : path.substr(colon + 1);
    if (!dir.is_absolute()) {
      continue;
    }
    if (auto found = python_in(dir)) {
      return found;
    }
  }
  return std::nullopt;
}

bool is_script(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return in.get() == '#' && in.get() == '!';
}

/// Executable and version of a Python somewhere on PATH; asks it only when its files do not tell.
std::optional<std::pair<fs::path, PythonVersion>> identify(const fs::path& python,
                                                           const PythonSearch& search) {
  const fs::path venv = python.parent_path().parent_path();
  if (is_venv(venv)) {
    if (const auto version = venv_version(venv)) {
      return std::pair{python, *version};
    }
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

std::optional<std::pair<fs::path, PythonVersion>> ask_python(const fs::path& python) {
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

PythonSearch PythonSearch::here() {
  std::error_code failure;
  PythonSearch search;
  search.virtual_env = from_environment("VIRTUAL_ENV");
  search.path = from_environment("PATH");
  search.program = fs::read_symlink("/proc/self/exe", failure);
  search.built_with = IPF_PYTHON_EXECUTABLE;
  search.needed = {.major = PY_MAJOR_VERSION, .minor = PY_MINOR_VERSION};
  search.ask = ask_python;
  return search;
}

Result<PythonLocation> locate_python(const PythonSearch& search) {
  const std::string needed = to_text(search.needed);
  const fs::path own_venv = search.program.parent_path().parent_path();
  const auto own_python = is_venv(own_venv) && venv_version(own_venv) == search.needed
                              ? python_in(search.program.parent_path())
                              : std::nullopt;
  if (!search.virtual_env.empty() && is_venv(search.virtual_env)) {
    const auto version = venv_version(search.virtual_env);
    const auto python = python_in(fs::path(search.virtual_env) / "bin");
    if (python && version == search.needed) {
      return PythonLocation{.executable = *python, .why = "$VIRTUAL_ENV"};
    }
    if (!own_python) {
      const std::string problem =
          python ? "has Python " + (version ? to_text(*version) : std::string("of unknown version"))
                 : std::string("has no bin/python");
      return unexpected(ErrorCode::invalid_argument,
                        "the active environment " + search.virtual_env + " " + problem +
                            ", but this ipengine (" + search.program.string() +
                            ") was built for Python " + needed +
                            ": install ipyfleet in that environment, or deactivate it");
    }
  }
  if (own_python) {
    return PythonLocation{.executable = *own_python, .why = "the environment of this program"};
  }
  std::string mismatch;
  if (const auto python = on_path(search.path)) {
    const auto found = identify(*python, search);
    if (found && found->second == search.needed) {
      return PythonLocation{.executable = found->first, .why = "python3 on PATH"};
    }
    mismatch =
        python->string() + (found ? " is Python " + to_text(found->second) : " cannot be run");
  }
  if (access(search.built_with.c_str(), X_OK) == 0) {
    return PythonLocation{.executable = search.built_with,
                          .why = mismatch.empty() ? "no python3 on PATH"
                                                  : mismatch + ", this program needs " + needed};
  }
  return unexpected(
      ErrorCode::not_found,
      (mismatch.empty() ? std::string("there is no python3 on PATH") : mismatch) +
          ", but this ipengine (" + search.program.string() + ") was built for Python " + needed +
          ": activate an environment with Python " + needed + ", or install ipyfleet in yours");
}

}  // namespace ipf::engine
