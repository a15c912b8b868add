#pragma once

#include <atomic>
#include <cstddef>
#include <filesystem>
#include <memory>

#include "core/result.hpp"
#include "protocol/frames.hpp"

namespace ipf {

/// Bytes that wait for long on disk instead of in memory: each large frame becomes a file without a
/// name, mapped for reading. The kernel keeps as much of it in memory as there is room, and drops
/// it where memory gets short; the file is gone with the last handle, or with the process.
///
/// One thread puts; handles may be released by any.
class SpillStore {
 public:
  struct Options {
    std::filesystem::path directory{};
    /// Smaller frames stay where they are: a mapping costs some kilobytes, too.
    std::size_t frame_bytes_min{std::size_t{64} << 10U};
    std::size_t bytes_max{std::size_t{64} << 30U};
    std::size_t files_max{30'000};  ///< the kernel allows a process 65,530 mappings
  };

  explicit SpillStore(Options options);

  /// The same message with its large frames on disk. unavailable: the store is full; io: the disk
  /// is. The message is unchanged then.
  Result<Frames> spill(const Frames& frames);
  /// On disk now.
  [[nodiscard]] std::size_t bytes() const { return usage_->bytes; }
  [[nodiscard]] std::size_t files() const { return usage_->files; }

 private:
  struct Usage {
    std::atomic<std::size_t> bytes{0};
    std::atomic<std::size_t> files{0};
  };
  Result<SharedBytes> put(std::string_view bytes);

  Options options_;
  std::shared_ptr<Usage> usage_;
};

}  // namespace ipf
