#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/result.hpp"

namespace ipf {

using Json = nlohmann::json;

/// Bounds of JSON text from a peer, checked before it is parsed.
struct JsonLimits {
  std::size_t bytes_max{256UL << 20U};
  std::size_t depth_max{64};
};

/// Parses untrusted JSON text; never throws. Invalid UTF-8, NaN and trailing text are errors.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});

/// As parse_json, and the text must be an object (`what` names it in the error).
Result<Json> parse_json_object(std::string_view text,
                               std::string_view what,
                               const JsonLimits& limits = {});

/// Compact JSON text; invalid UTF-8 is replaced, so this never throws.
std::string dump_json(const Json& value);

/// Appends `text` as a JSON string with quotes; invalid UTF-8 is kept as it is.
void append_json_string(std::string& out, std::string_view text);

/// The string under `key`, or `otherwise` if it is missing or no string.
std::string string_or(const Json& object, const char* key, std::string otherwise = {});

}  // namespace ipf
