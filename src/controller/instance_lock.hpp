#pragma once

#include <filesystem>

#include "core/result.hpp"

namespace ipf {

/// Held for a controller's whole life, so that a second one for the same profile and cluster id
/// refuses instead of overwriting the first one's connection files. The kernel releases it when the
/// process ends in whatever way. The file holds the pid.
class InstanceLock {
 public:
  static Result<InstanceLock> take(const std::filesystem::path& path);

  InstanceLock(InstanceLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  InstanceLock& operator=(InstanceLock&&) = delete;
  InstanceLock(const InstanceLock&) = delete;
  InstanceLock& operator=(const InstanceLock&) = delete;
  ~InstanceLock();

 private:
  explicit InstanceLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace ipf
