#pragma once

#include <Python.h>

#include <cstddef>

#include "protocol/frames.hpp"

namespace ipf::engine {

/// The Python type of an object that lends one frame's bytes, read-only, and keeps them alive.
/// nullptr with a Python error set when it cannot be made. A new reference.
PyObject* make_frame_view_type();

/// `memoryview` of frame `index` without copying; nullptr with a Python error set on failure.
/// The caller holds the GIL.
PyObject* frame_memoryview(PyObject* frame_view_type, const Frames& frames, std::size_t index);

}  // namespace ipf::engine
