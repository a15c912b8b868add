#include "core/check.hpp"

#include <cstdio>
#include <cstdlib>

namespace ipf {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "ipyfleet: broken invariant '%s' at %s:%d\n", condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace ipf
