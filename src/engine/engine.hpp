#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine_options.hpp"
#include "engine/engine_reactor.hpp"
#include "engine/fork_client.hpp"
#include "engine/python_options.hpp"

namespace ipf::engine {

struct ForkServerOptions {
  std::string name{};                  ///< of the socket
  std::string python{};                ///< what sys.executable is to be
  std::vector<std::string> preload{};  ///< modules that all engines are to find imported
};

/// What runs Python in this process: python_runtime() of ipf_engine. It is handed in because a
/// program without libpython is an ipengine, too.
struct PythonRuntime {
  /// Both threads of an engine, until it leaves; returns its exit status.
  int (*run_threads)(ReactorOptions reacting, PythonOptions python, Log& log);
  /// See fork_server.hpp.
  Result<std::optional<ForkedEngine>> (*serve_forks)(const ForkServerOptions& options, Log& log);
  /// Replaces the environment of this process, in C and in a Python that runs.
  void (*enter_environment)(const std::vector<std::string>& environment);
};

/// The whole life of `ipengine`: nanny, connection, threads, Python; or that of a fork server.
/// Returns the exit status. Call it in the main thread of a process that has no other thread.
/// `start` is what `options` were read from; `embedded` is null in a program without libpython.
/// Where it is, or where the Python to use is another one, the process becomes that Python.
int run_engine(const EngineOptions& options,
               const ProcessStart& start,
               const PythonRuntime* embedded);

/// The same in the Python that a process of run_engine() has become; `fd` is what it was given.
int run_ordered(int fd, const PythonRuntime& runtime);

}  // namespace ipf::engine
