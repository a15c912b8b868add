#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipyfleet/types.hpp"
#include "ipyfleet/value.hpp"

namespace ipf::client {

/// Appends the pickle (protocol 4) of a value: what CPython's pickle.loads() turns into it.
///
/// Arrays become `numpy.ndarray(shape, dtype, bytes)` and expressions a canned Reference, which
/// only counts where the receiver un-cans. Throws ConversionError for a value of kind object, and
/// for one nested deeper than `depth_max`.
void append_pickle(std::string& out, const Value& value);

/// A value as the protocol sends it: a pickle, then every large part as a buffer of its own,
/// without a copy. That is arrays and bytes of more than 1 KiB, alone or as an item of a list,
/// tuple, set or dict with fewer than 64 items.
void append_object(std::vector<Buffer>& out, const Value& value);

struct PickledCall {
  const Value* function{};  ///< an expression, or the name of something that is imported
  bool imported{};
  std::span<const Value> arguments{};
  std::span<const std::pair<std::string, Value>> keywords{};
};

/// The buffers of an apply_request:
/// [function, info, argument, its buffers..., ..., keyword argument, ...], with
/// info = {"nargs": n, "narg_bufs": m, "kw_keys": [sorted names]}.
std::vector<Buffer> pickle_call(const PickledCall& call);

}  // namespace ipf::client
