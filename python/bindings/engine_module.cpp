// ipyfleet._engine: an engine in the Python that imports it.
#include <cstdio>
#include <unistd.h>

#include <pybind11/pybind11.h>

#include "engine/python_runtime.hpp"

namespace {

/// Ends the process: user code may have left anything behind.
[[noreturn]] void run(int fd) {
  const int status = ipf::engine::run_ordered(fd, ipf::engine::python_runtime());
  std::fflush(nullptr);
  _exit(status);
}

}  // namespace

PYBIND11_MODULE(_engine, module) {
  module.doc() = "The engine as ipengine starts it in a Python that it cannot embed.";
  module.def("run", &run, pybind11::arg("fd"),
             "Be the engine that is described behind a descriptor; never returns.");
}
