#include "core/file_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ipf {

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      return count < 0 ? errno : EIO;
    }
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return 0;
}

std::string read_file(const std::filesystem::path& path) {
  std::string out;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return out;
  }
  std::array<char, 16384> chunk{};
  for (ssize_t count = 1; count > 0 || (count < 0 && errno == EINTR);) {
    count = read(fd, chunk.data(), chunk.size());
    out.append(chunk.data(), static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  close(fd);
  return out;
}

std::optional<FileStamp> file_stamp(const std::filesystem::path& path) {
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0) {
    return std::nullopt;
  }
  return FileStamp{.inode = facts.st_ino, .modified = facts.st_mtim};
}

bool still_named(const std::filesystem::path& path, int fd) {
  struct stat by_path{};
  struct stat by_fd{};
  return stat(path.c_str(), &by_path) == 0 && fstat(fd, &by_fd) == 0 &&
         by_path.st_ino == by_fd.st_ino && by_path.st_dev == by_fd.st_dev;
}

}  // namespace ipf
