#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ipf {

/// `ipcluster completion bash|zsh|fish` prints what completes the options of all our programs in
/// that shell: the options that their --help tells, asked for once in a shell's life. Returns the
/// exit status, or nothing if the command line asks for something else.
std::optional<int> print_completion(const std::vector<std::string>& arguments);

}  // namespace ipf
