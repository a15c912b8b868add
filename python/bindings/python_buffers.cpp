#include "python_buffers.hpp"

#include <utility>

namespace ipf::bindings {

namespace py = pybind11;

void ReleaseQueue::push(Py_buffer* buffer) {
  const std::scoped_lock lock(mutex_);
  if (ended_) {
    return;
  }
  waiting_.push_back(buffer);
  any_.store(true);
  if (!scheduled_) {
    // The table of pending calls is small; when it is full the next drain() does it.
    auto* self = new std::shared_ptr<ReleaseQueue>(shared_from_this());
    scheduled_ = Py_AddPendingCall(&ReleaseQueue::drain_pending, self) == 0;
    if (!scheduled_) {
      delete self;
    }
  }
}

int ReleaseQueue::drain_pending(void* queue) {
  const std::unique_ptr<std::shared_ptr<ReleaseQueue>> self(
      static_cast<std::shared_ptr<ReleaseQueue>*>(queue));
  {
    const std::scoped_lock lock((*self)->mutex_);
    (*self)->scheduled_ = false;
  }
  (*self)->drain();
  return 0;
}

void ReleaseQueue::drain() {
  if (!any_.load()) {
    return;
  }
  std::vector<Py_buffer*> taken;
  {
    const std::scoped_lock lock(mutex_);
    taken.swap(waiting_);
    any_.store(false);
  }
  for (Py_buffer* buffer : taken) {
    PyBuffer_Release(buffer);
    delete buffer;
  }
}

void ReleaseQueue::end() {
  drain();
  const std::scoped_lock lock(mutex_);
  ended_ = true;
}

OutgoingBuffers::OutgoingBuffers(const py::sequence& objects,
                                 const std::shared_ptr<ReleaseQueue>& queue) {
  const std::size_t count = py::len(objects);
  list_.reserve(count);
  try {
    for (std::size_t i = 0; i < count; ++i) {
      const py::object object = objects[i];
      add(object, queue);
    }
  } catch (...) {
    release();
    throw;
  }
}

OutgoingBuffers::~OutgoingBuffers() {
  release();
}

void OutgoingBuffers::release() {
  for (auto& buffer : small_) {
    PyBuffer_Release(&buffer);
  }
  small_.clear();
}

void OutgoingBuffers::add(py::handle object, const std::shared_ptr<ReleaseQueue>& queue) {
  Py_buffer view{};
  if (PyObject_GetBuffer(object.ptr(), &view, PyBUF_SIMPLE) != 0) {
    throw py::error_already_set();
  }
  const std::string_view bytes(static_cast<const char*>(view.buf),
                               static_cast<std::size_t>(view.len));
  if (bytes.size() < shared_bytes_min) {
    small_.push_back(view);
    list_.push_back({nullptr, bytes});
    return;
  }
  auto held = std::make_unique<Py_buffer>(view);
  const std::shared_ptr<const void> owner(held.release(), [queue](const void* buffer) {
    queue->push(static_cast<Py_buffer*>(const_cast<void*>(buffer)));
  });
  list_.push_back({owner, bytes});
}

py::object to_python(Buffer buffer) {
  if (buffer.bytes.size() < shared_bytes_min) {
    return py::bytes(buffer.bytes.data(), buffer.bytes.size());
  }
  const py::object view = py::cast(FrameView{std::move(buffer)});
  return py::reinterpret_steal<py::object>(PyMemoryView_FromObject(view.ptr()));
}

}  // namespace ipf::bindings
