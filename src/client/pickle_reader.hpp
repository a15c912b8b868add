#pragma once

#include <span>

#include "core/result.hpp"
#include "ipyfleet/types.hpp"
#include "ipyfleet/value.hpp"

namespace ipf::client {

/// The value that `[pickle, buffer...]` stands for, as engines send results.
///
/// Reads what CPython, numpy and ipyparallel's serializer write for the types of Value (pickle
/// protocols 2 to 5). Nothing is ever called: an object of any other class becomes a Value of kind
/// object that knows the name of the class. Bytes and arrays share the memory of the buffers,
/// arrays whose elements would not be aligned are copied. An Error is a pickle that is broken, uses
/// what no pickler of CPython writes, or is nested deeper than 500 levels.
Result<Value> read_object(std::span<const Buffer> buffers);

}  // namespace ipf::client
