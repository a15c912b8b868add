#pragma once

#include "engine/engine.hpp"

namespace ipf::engine {

/// This process as one that can run Python: with libpython linked, or as a module of a Python.
const PythonRuntime& python_runtime();

}  // namespace ipf::engine
