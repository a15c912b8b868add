#pragma once

#include <ctime>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>

namespace ipf {

/// Writes all bytes, however often it takes. 0, or the errno of the write that failed; some bytes
/// may be written then.
[[nodiscard]] int write_all(int fd, std::string_view bytes);

/// The whole file, or what of it can be read: nothing when it is not there, and for a process that
/// ends while its file in /proc is read. (A std::istreambuf_iterator throws then.)
[[nodiscard]] std::string read_file(const std::filesystem::path& path);

/// False when `path` meanwhile names another file than the open one: somebody removed or replaced
/// it.
[[nodiscard]] bool still_named(const std::filesystem::path& path, int fd);

/// Tells a file from the one that was there before under its name, or that was changed.
struct FileStamp {
  ino_t inode{};
  timespec modified{};
  bool operator==(const FileStamp& other) const {
    return inode == other.inode && modified.tv_sec == other.modified.tv_sec &&
           modified.tv_nsec == other.modified.tv_nsec;
  }
};
/// Nothing when there is no such file.
[[nodiscard]] std::optional<FileStamp> file_stamp(const std::filesystem::path& path);

}  // namespace ipf
