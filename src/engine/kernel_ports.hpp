#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "core/result.hpp"
#include "engine/kernel_link.hpp"

namespace ipf::engine {

/// Listening kernel ports and the file that tells frontends of them.
struct KernelPorts {
  std::shared_ptr<KernelLink> link{};  ///< removes the file at its end if it was written here
  std::filesystem::path file{};
  bool file_is_ours{};  ///< written here, not by the frontend
};

/// The connection file of open kernel ports, for display; empty: there are none.
struct KernelPlace {
  std::string file{};
  std::string text{};
};

/// Opens the ports of the connection file `file`. Ports that it leaves open are chosen and written
/// back; where there is no file one is written, with a new key, by default
/// `kernel-<pid>.json` where Jupyter looks for it.
Result<KernelPorts> open_kernel(const std::filesystem::path& file, const KernelOwner& owner);

/// Opens the ports of `wanted`, with a new key if it has none, and writes the file.
Result<KernelPorts> open_kernel(KernelConnection wanted,
                                const std::filesystem::path& file,
                                const KernelOwner& owner);

/// `$JUPYTER_RUNTIME_DIR`, or what Jupyter takes without it.
std::filesystem::path jupyter_runtime_dir();

/// Tells the user how to attach, where the file was written here.
void announce(const KernelPorts& ports);

/// A descriptor that becomes readable when the frontend that started this process
/// ($JPY_PARENT_PID) ends: kernels follow it.
class ParentWatch {
 public:
  ParentWatch();
  ParentWatch(const ParentWatch&) = delete;
  ParentWatch& operator=(const ParentWatch&) = delete;
  ~ParentWatch();
  [[nodiscard]] int fd() const { return fd_; }  ///< -1: there is nobody to watch

 private:
  int fd_{-1};
};

}  // namespace ipf::engine
