#include "launcher/pid_file.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <thread>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/process_info.hpp"
#include "core/text.hpp"

namespace ipf {

namespace {

std::optional<pid_t> read_pid(int fd) {
  std::array<char, 32> text{};
  const ssize_t got = pread(fd, text.data(), text.size(), 0);
  pid_t pid = 0;
  if (got <= 0 || std::from_chars(text.data(), text.data() + got, pid).ec != std::errc{} ||
      pid <= 0) {
    return std::nullopt;
  }
  return pid;
}

}  // namespace

PidFile& PidFile::operator=(PidFile&& other) noexcept {
  std::swap(file_, other.file_);
  std::swap(fd_, other.fd_);
  return *this;
}

Result<PidFile> PidFile::create(const std::filesystem::path& file) {
  constexpr int tries_max = 100;
  for (int i = 0; i < tries_max; ++i) {
    FileDescriptor fd{open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (!fd) {
      return unexpected(ErrorCode::io,
                        "cannot create the pid file " + file.string() + ": " + errno_text(errno));
    }
    if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      const std::optional<pid_t> pid = read_pid(fd.get());
      if (i + 1 < tries_max && (!pid || !process_alive(*pid))) {
        // Only looked at by holder() for an instant, or just being filled.
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
        continue;
      }
      return unexpected(ErrorCode::unavailable,
                        "another ipcluster" +
                            (pid ? " (pid " + std::to_string(*pid) + ")" : std::string{}) +
                            " holds " + file.string());
    }  // any other failure: a file system without locks; then the cluster file alone decides
    if (!still_named(file, fd.get())) {
      continue;
    }
    const std::string text = std::to_string(getpid()) + "\n";
    if (ftruncate(fd.get(), 0) != 0 ||
        pwrite(fd.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) {
      return unexpected(ErrorCode::io,
                        "cannot write the pid file " + file.string() + ": " + errno_text(errno));
    }
    PidFile out;
    out.file_ = file;
    out.fd_ = std::move(fd);
    return out;
  }
  return unexpected(ErrorCode::unavailable, "others keep replacing the pid file " + file.string());
}

std::optional<pid_t> PidFile::holder(const std::filesystem::path& file) {
  const FileDescriptor fd{open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!fd || flock(fd.get(), LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK) {
    return std::nullopt;
  }
  return read_pid(fd.get());
}

void PidFile::remove() {
  if (fd_) {
    if (still_named(file_, fd_.get())) {
      unlink(file_.c_str());
    }
    fd_.close();
  }
}

}  // namespace ipf
