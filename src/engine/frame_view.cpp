#include "engine/frame_view.hpp"

#include <array>
#include <new>

namespace ipf::engine {

namespace {

/// Written against the C API: pybind11's buffer protocol costs a microsecond for each buffer.
struct FrameView {
  PyObject_HEAD SharedBytes frame;
};

FrameView* self_of(PyObject* object) {
  return reinterpret_cast<FrameView*>(object);
}

int get_buffer(PyObject* object, Py_buffer* view, int flags) {
  const std::string_view bytes = self_of(object)->frame.bytes;
  return PyBuffer_FillInfo(view, object, const_cast<char*>(bytes.data()),
                           static_cast<Py_ssize_t>(bytes.size()), 1, flags);
}

void deallocate(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  self_of(object)->frame.~SharedBytes();
  type->tp_free(object);
  Py_DECREF(type);
}

}  // namespace

PyObject* make_frame_view_type() {
  static std::array<PyType_Slot, 3> slots{{
      {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
      {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
      {0, nullptr},
  }};
  static PyType_Spec spec{.name = "ipyfleet.engine.FrameView",
                          .basicsize = sizeof(FrameView),
                          .itemsize = 0,
                          .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                          .slots = slots.data()};
  return PyType_FromSpec(&spec);
}

PyObject* frame_memoryview(PyObject* frame_view_type, const Frames& frames, std::size_t index) {
  auto* type = reinterpret_cast<PyTypeObject*>(frame_view_type);
  PyObject* object = type->tp_alloc(type, 0);
  if (object == nullptr) {
    return nullptr;
  }
  new (&self_of(object)->frame) SharedBytes(frames.shared(index));
  PyObject* view = PyMemoryView_FromObject(object);
  Py_DECREF(object);
  return view;
}

}  // namespace ipf::engine
