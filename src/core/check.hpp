#pragma once

namespace ipf {

/// Ends the process with the place and the text of a broken invariant. Never called for peer data.
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace ipf

/// A bug in this program, checked in release builds too. Expected failures are Result values.
#define IPF_CHECK(condition)                               \
  do {                                                     \
    if (!(condition)) [[unlikely]] {                       \
      ::ipf::check_failed(#condition, __FILE__, __LINE__); \
    }                                                      \
  } while (false)
