#pragma once

/// Everything of the C++ client. What travels and how: value.hpp and convert.hpp; connections:
/// client.hpp; calls: view.hpp; results: future.hpp and errors.hpp.
#include "ipyfleet/client.hpp"  // IWYU pragma: export
#include "ipyfleet/view.hpp"    // IWYU pragma: export
