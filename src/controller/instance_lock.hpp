#pragma once

#include <filesystem>
#include <utility>

#include "core/result.hpp"

namespace ipf {

/// Held for a controller's whole life, so that a second one for the same profile and cluster id
/// refuses instead of overwriting the first one's connection files. The kernel releases it when the
/// process ends in whatever way. The file holds the pid and is removed at the end.
class InstanceLock {
 public:
  static Result<InstanceLock> take(const std::filesystem::path& path);

  InstanceLock(InstanceLock&& other) noexcept : fd_(other.fd_), path_(std::move(other.path_)) {
    other.fd_ = -1;
  }
  InstanceLock& operator=(InstanceLock&&) = delete;
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  static Result<InstanceLock> try_take(const std::filesystem::path& path);

  int fd_;
  std::filesystem::path path_{};  ///< empty while it is not held
};

}  // namespace ipf
