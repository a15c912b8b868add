#include "engine/python_runtime.hpp"

#include <csignal>
#include <thread>
#include <utility>

#include "engine/engine_channels.hpp"
#include "engine/engine_reactor.hpp"
#include "engine/fork_server.hpp"
#include "engine/output_capture.hpp"
#include "engine/python_host.hpp"
#include "engine/termination_signal.hpp"

namespace ipf::engine {

namespace {

/// Starts the IO thread with all signals blocked: they belong to the main thread.
std::jthread start_io(EngineReactor& reactor, int& status) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);
  std::jthread thread([&] { status = reactor.run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

int run_threads(ReactorOptions reacting, PythonOptions python, Log& log) {
  if (reacting.capture != nullptr) {
    reacting.capture->redirect();
  }
  EngineChannels channels({.request_bytes_max = reacting.output_bytes_max});
  EngineReactor reactor(std::move(reacting), channels, log);
  int status = 1;
  {
    const std::jthread io = start_io(reactor, status);
    PythonHost(std::move(python), channels, log).run();
  }
  ignore_termination();
  return status;
}

}  // namespace

const PythonRuntime& python_runtime() {
  static constexpr PythonRuntime runtime{.run_threads = run_threads,
                                         .serve_forks = serve_forks,
                                         .enter_environment = enter_environment};
  return runtime;
}

}  // namespace ipf::engine
