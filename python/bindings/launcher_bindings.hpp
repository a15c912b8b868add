#pragma once

#include <pybind11/pybind11.h>

namespace ipf::bindings {

/// Adds the class Launcher to the module.
void add_launcher(pybind11::module_& module);

}  // namespace ipf::bindings
