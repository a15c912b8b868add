#include "controller/instance_lock.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <unistd.h>

#include "core/file_io.hpp"
#include "core/text.hpp"

namespace ipf {

Result<InstanceLock> InstanceLock::take(const std::filesystem::path& path) {
  constexpr int tries_max = 100;
  for (int i = 0; i < tries_max; ++i) {
    auto lock = try_take(path);
    if (!lock || still_named(path, lock->fd_)) {
      if (lock) {
        lock->path_ = path;
      }
      return lock;
    }
  }
  return unexpected(ErrorCode::unavailable, "others keep replacing " + path.string());
}

Result<InstanceLock> InstanceLock::try_take(const std::filesystem::path& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) {
    return unexpected(ErrorCode::io, "cannot open " + path.string() + ": " + errno_text(errno));
  }
  InstanceLock lock(fd);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    std::array<char, 16> pid{};
    const ssize_t got = pread(fd, pid.data(), pid.size() - 1, 0);
    return unexpected(ErrorCode::unavailable,
                      "a controller (pid " + std::string(got > 0 ? pid.data() : "?") +
                          ") already runs for this profile and cluster id; stop it or "
                          "give another --cluster-id");
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(fd, 0) != 0 || pwrite(fd, pid.data(), pid.size(), 0) < 0) {
    return unexpected(ErrorCode::io, "cannot write " + path.string() + ": " + errno_text(errno));
  }
  return lock;
}

InstanceLock::~InstanceLock() {
  if (fd_ >= 0) {
    if (!path_.empty() && still_named(path_, fd_)) {
      unlink(path_.c_str());
    }
    close(fd_);
  }
}

}  // namespace ipf
