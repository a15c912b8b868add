#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <sys/types.h>
#include <vector>

#include <pybind11/pybind11.h>

#include "core/ids.hpp"
#include "engine/engine_channels.hpp"
#include "engine/kernel_link.hpp"
#include "engine/kernel_ports.hpp"
#include "protocol/frames.hpp"

namespace ipf::engine {

/// Python buffers that are on their way to the wire. libzmq's thread lets go of them, but only a
/// thread with the GIL may release them: they wait here for the main thread.
class LentBuffers {
 public:
  explicit LentBuffers(ExecutionQueue& queue) : queue_(queue) {}

  /// Frame bytes of `object` (any C-contiguous buffer): large ones are lent, small ones copied.
  /// Throws error_already_set when it is no such buffer. The caller holds the GIL.
  static void add(const std::shared_ptr<LentBuffers>& self,
                  FramesBuilder& out,
                  pybind11::handle object);
  /// Main thread, with the GIL.
  void release_returned();

 private:
  void give_back(Py_buffer* buffer);

  ExecutionQueue& queue_;
  std::mutex mutex_;
  std::vector<Py_buffer*> returned_;
};

/// The module object `bridge` that engine/shell.py works with: `engine_id`, `engine_uuid`,
/// `write`, `flush`, `publish`, `current_header`, `ask`, `bind_kernel`, `kernel_place`. Its
/// functions may be called from any thread that holds the GIL, and do nothing in a forked child,
/// whose sockets belong to the engine.
class ShellBridge {
 public:
  ShellBridge(EngineChannels& channels,
              std::shared_ptr<LentBuffers> lent,
              KernelOwner owner,
              KernelPlace kernel);

  [[nodiscard]] pybind11::module_ module() const { return module_; }
  /// Drops the module; call it before the interpreter ends, and destroy the bridge behind that.
  void let_go() { module_ = {}; }
  /// True in a process that user code forked from the engine.
  [[nodiscard]] bool in_fork() const;

 private:
  void define_functions();
  /// Waits for a line of input without the GIL; None when there is nobody to ask. Throws
  /// error_already_set for an interrupt. One thread at a time.
  pybind11::object ask(std::string prompt, bool password);
  /// Opens kernel ports unless there are some; throws a Python OSError.
  void bind_kernel(const std::string& wanted, const std::string& file);

  EngineChannels& channels_;
  std::shared_ptr<LentBuffers> lent_;
  const KernelOwner owner_;
  KernelPlace kernel_;
  pid_t pid_;
  pybind11::module_::module_def definition_{};
  pybind11::module_ module_;
};

}  // namespace ipf::engine
