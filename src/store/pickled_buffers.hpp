#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace ipf {

/// A list of byte strings as Python's pickle writes it (protocol 5), which is what the `buffers`
/// columns of ipyparallel's tasks.db hold: `pickle.loads(column)` gives a list of bytes.
std::string pickle_buffers(const std::vector<std::string_view>& buffers);

/// Reads a pickled list of bytes (protocols 3 to 5). Nothing else is understood and nothing is ever
/// executed: any other opcode is an error. The views point into `pickle`.
Result<std::vector<std::string_view>> unpickle_buffers(std::string_view pickle);

}  // namespace ipf
