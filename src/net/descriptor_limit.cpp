#include "net/descriptor_limit.hpp"

#include <string>
#include <sys/resource.h>

namespace ipf {

Result<std::size_t> raise_descriptor_limit(std::size_t needed) {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
      limit = raised;
    }
  }
  if (limit.rlim_cur < needed) {
    return unexpected(ErrorCode::unavailable,
                      "only " + std::to_string(limit.rlim_cur) + " files may be open at once; " +
                          std::to_string(needed) + " are needed at least (see ulimit -n)");
  }
  return limit.rlim_cur;
}

}  // namespace ipf
