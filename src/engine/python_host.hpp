#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "core/log.hpp"
#include "core/result.hpp"
#include "engine/engine_channels.hpp"
#include "engine/kernel_ports.hpp"

namespace ipf::engine {

/// What the Python side of an engine is told.
struct PythonOptions {
  std::filesystem::path executable{};  ///< what sys.executable shall be
  std::string uuid{};
  std::string username{};
  bool is_kernel{};  ///< a kernel of its own: keeps the history of the user's profile
  KernelPlace kernel{};
  std::string startup_command{};
  std::string startup_script{};
  std::string profile_dir{};
  bool use_mpi{};
  std::string mpi_module{};  ///< empty or "mpi4py"; anything else is imported first
  /// `--Class.trait=value` of IPython's classes.
  std::map<std::string, std::map<std::string, std::string>> traits{};
};

/// Runs CPython in the calling thread, which must be the process's main thread, until the queue
/// says stop: starts the interpreter and the shell, executes what is handed over, finalises. All
/// that happened goes to the outputs; MainThreadDone comes last. Python code exists in
/// ipyfleet.engine.shell only.
///
/// SIGINT is Python's as usual: KeyboardInterrupt in the request that runs; between requests its
/// handler runs, and what it raises is dropped.
class PythonHost {
 public:
  PythonHost(PythonOptions options, EngineChannels& channels, Log& log)
      : options_(std::move(options)), channels_(channels), log_(log) {}
  PythonHost(const PythonHost&) = delete;
  PythonHost& operator=(const PythonHost&) = delete;

  void run();

 private:
  class ShellRunner;
  void run_engine(std::unique_ptr<ShellRunner>& runner);

  PythonOptions options_;
  EngineChannels& channels_;
  Log& log_;
};

}  // namespace ipf::engine
