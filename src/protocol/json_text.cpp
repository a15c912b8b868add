#include "protocol/json_text.hpp"

#include <array>
#include <cstdio>

namespace ipf {

namespace {

/// Depth by counting brackets outside strings: the parser itself has no limit.
bool deeper_than(std::string_view text, std::size_t most) {
  std::size_t depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > most) {
        return true;
      }
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return unexpected(ErrorCode::too_large, "JSON text of " + std::to_string(text.size()) +
                                                " bytes; the limit is " +
                                                std::to_string(limits.bytes_max));
  }
  if (deeper_than(text, limits.depth_max)) {
    return unexpected(ErrorCode::malformed,
                      "JSON nested deeper than " + std::to_string(limits.depth_max) + " levels");
  }
  Json value = Json::parse(text.begin(), text.end(), nullptr, false);
  if (value.is_discarded()) {
    return unexpected(ErrorCode::malformed, "text is not valid JSON");
  }
  return value;
}

Result<Json> parse_json_object(std::string_view text,
                               std::string_view what,
                               const JsonLimits& limits) {
  auto value = parse_json(text, limits);
  if (!value) {
    return unexpected(value.error().code, std::string(what) + ": " + value.error().message);
  }
  if (!value->is_object()) {
    return unexpected(ErrorCode::malformed, std::string(what) + " is no JSON object");
  }
  return value;
}

std::string dump_json(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (code < 0x20) {
      std::array<char, 8> escaped{};
      std::snprintf(escaped.data(), escaped.size(), "\\u%04x", static_cast<unsigned>(code));
      out += escaped.data();
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string string_or(const Json& object, const char* key, std::string otherwise) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) {
    return otherwise;
  }
  return found->get<std::string>();
}

}  // namespace ipf
