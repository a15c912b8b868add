#pragma once

#include <Python.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include <pybind11/pybind11.h>

#include "ipyfleet/types.hpp"

namespace ipf::bindings {

/// Frames of at least this size are shared with Python, not copied (Frames::packed_frame_max).
inline constexpr std::size_t shared_bytes_min = 4097;

/// Where libzmq's threads leave Python buffers that they are done with.
///
/// Letting go of a Python object needs the GIL, and a thread of libzmq must never wait for that. So
/// the last owner of a frame puts the buffer here, and a thread that holds the GIL lets go of it:
/// the main thread at its next byte code (Py_AddPendingCall), or whoever calls drain() before.
/// After end() buffers are leaked, because the interpreter is on its way out.
class ReleaseQueue : public std::enable_shared_from_this<ReleaseQueue> {
 public:
  ReleaseQueue() = default;
  ReleaseQueue(const ReleaseQueue&) = delete;
  ReleaseQueue& operator=(const ReleaseQueue&) = delete;

  /// From any thread, with or without the GIL.
  void push(Py_buffer* buffer);
  /// With the GIL.
  void drain();
  /// With the GIL, when the interpreter begins to exit.
  void end();

 private:
  static int drain_pending(void* queue);

  std::mutex mutex_;
  std::vector<Py_buffer*> waiting_;
  std::atomic<bool> any_{false};
  bool scheduled_{false};
  bool ended_{false};
};

/// The bytes of Python objects for one message.
///
/// Small ones are views that are valid as long as this object; large ones own the Python buffer
/// until libzmq is done. Objects must offer contiguous memory. With the GIL.
class OutgoingBuffers {
 public:
  OutgoingBuffers(const pybind11::sequence& objects, const std::shared_ptr<ReleaseQueue>& queue);
  OutgoingBuffers(const OutgoingBuffers&) = delete;
  OutgoingBuffers& operator=(const OutgoingBuffers&) = delete;
  ~OutgoingBuffers();
  [[nodiscard]] const std::vector<Buffer>& list() const { return list_; }

 private:
  void add(pybind11::handle object, const std::shared_ptr<ReleaseQueue>& queue);
  void release();

  std::vector<Buffer> list_;
  std::vector<Py_buffer> small_;
};

/// A received frame that Python sees through the buffer protocol, without a copy.
struct FrameView {
  Buffer buffer{};
};

/// Bytes for a small frame, a read-only memoryview of the received memory for a large one.
pybind11::object to_python(Buffer buffer);

}  // namespace ipf::bindings
