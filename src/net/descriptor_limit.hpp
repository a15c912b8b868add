#pragma once

#include <cstddef>

#include "core/result.hpp"

namespace ipf {

/// Raises this process's limit of open files as far as the system allows; returns it. Fails when
/// that is less than `needed`.
Result<std::size_t> raise_descriptor_limit(std::size_t needed);

}  // namespace ipf
