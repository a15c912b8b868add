#include "launcher/template_format.hpp"

#include <algorithm>
#include <charconv>

#include "core/log.hpp"

namespace ipf {

using nlohmann::json;

namespace {

constexpr std::size_t template_bytes_max = 1024UL * 1024;
constexpr std::size_t width_max = 100;

/// A value as Python's str() shows it.
std::string plain_text(const json& value) {
  if (value.is_string()) {
    return value.get<std::string>();
  }
  if (value.is_boolean()) {
    return value.get<bool>() ? "True" : "False";
  }
  return value.dump();
}

/// "", "5", "05", "05d": a width for a number; nothing else is known.
Result<std::string> with_format(const json& value, std::string_view spec) {
  std::string text = plain_text(value);
  if (spec.empty()) {
    return text;
  }
  const bool zero = spec.starts_with('0');
  if (spec.ends_with('d')) {
    if (!value.is_number_integer()) {
      return unexpected(ErrorCode::invalid_argument, "the format 'd' is for whole numbers");
    }
    spec.remove_suffix(1);
  }
  std::size_t width = 0;
  const auto read = std::from_chars(spec.data(), spec.data() + spec.size(), width);
  if (!spec.empty() && (read.ec != std::errc{} || read.ptr != spec.data() + spec.size())) {
    return unexpected(ErrorCode::invalid_argument,
                      "the format '" + printable(spec) + "' is not known, only a width like 05d");
  }
  width = std::min(width, width_max);
  if (text.size() < width) {
    const bool left = value.is_string();
    const std::string fill(width - text.size(), zero ? '0' : ' ');
    text = left ? text + fill : fill + text;
  }
  return text;
}

/// Where the format specification of a field begins: the first colon outside quotes.
std::size_t find_colon(std::string_view field) {
  char quote = '\0';
  for (std::size_t i = 0; i < field.size(); ++i) {
    const char c = field[i];
    if (quote != '\0') {
      quote = c == quote ? '\0' : quote;
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == ':') {
      return i;
    }
  }
  return field.size();
}

Result<std::string> format_field(std::string_view field, const json& scope) {
  const std::size_t colon = find_colon(field);
  const Result<json> value = evaluate_expression(field.substr(0, colon), scope);
  if (!value) {
    return unexpected(value.error());
  }
  return with_format(*value, colon < field.size() ? field.substr(colon + 1) : std::string_view{});
}

Unexpected at_line(std::string_view text, std::size_t at, const std::string& message) {
  const auto line = 1 + std::ranges::count(text.substr(0, at), '\n');
  return unexpected(ErrorCode::invalid_argument,
                    "line " + std::to_string(line) + " of the batch template: " + message);
}

}  // namespace

Result<std::string> format_template(std::string_view text, const json& scope) {
  if (text.size() > template_bytes_max) {
    return unexpected(ErrorCode::too_large, "the batch template is larger than 1 MiB");
  }
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool doubled = i + 1 < text.size() && text[i + 1] == c;
    if (c != '{' && c != '}') {
      out += c;
    } else if (doubled) {
      out += c;
      ++i;
    } else if (c == '}') {
      return at_line(text, i, "a single '}'; a brace of the script is written '}}'");
    } else {
      const std::size_t end = text.find('}', i);
      if (end == std::string_view::npos) {
        return at_line(text, i, "a '{' is not closed; a brace of the script is written '{{'");
      }
      const std::string_view field = text.substr(i + 1, end - i - 1);
      const Result<std::string> value = format_field(field, scope);
      if (!value) {
        return at_line(text, i,
                       "{" + printable(field) + "}: " + value.error().message +
                           "; a brace of the script is written '{{'");
      }
      out += *value;
      i = end;
    }
  }
  return out;
}

}  // namespace ipf
