#pragma once

#include <memory>
#include <utility>

#include "core/log.hpp"
#include "engine/engine_channels.hpp"
#include "engine/python_options.hpp"

namespace ipf::engine {

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
