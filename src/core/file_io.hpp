#pragma once

#include <string_view>

namespace ipf {

/// Writes all bytes, however often it takes. 0, or the errno of the write that failed; some bytes
/// may be written then.
[[nodiscard]] int write_all(int fd, std::string_view bytes);

}  // namespace ipf
