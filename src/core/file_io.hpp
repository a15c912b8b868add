#pragma once

#include <filesystem>
#include <string_view>

namespace ipf {

/// Writes all bytes, however often it takes. 0, or the errno of the write that failed; some bytes
/// may be written then.
[[nodiscard]] int write_all(int fd, std::string_view bytes);

/// False when `path` meanwhile names another file than the open one: somebody removed or replaced
/// it.
[[nodiscard]] bool still_named(const std::filesystem::path& path, int fd);

}  // namespace ipf
