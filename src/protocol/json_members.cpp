#include "protocol/json_members.hpp"

#include <utility>

#include <simdjson.h>

#include "protocol/json_text.hpp"

namespace ipf {

struct JsonMembers::Parser {
  /// False when only the slow parser may know.
  bool parse(std::string_view text, simdjson::dom::element& found) {
    object.reset();
    slow = nullptr;
    if (text.size() > parser.capacity() &&
        parser.allocate(text.size(), JsonLimits{}.depth_max) != simdjson::SUCCESS) {
      return false;
    }
    return parser.parse(text).get(found) == simdjson::SUCCESS;
  }

  simdjson::dom::parser parser;
  std::optional<simdjson::dom::object> object;
  Json slow;
};

JsonMembers::JsonMembers() : parser_(std::make_unique<Parser>()) {}
JsonMembers::~JsonMembers() = default;

bool JsonMembers::open(std::string_view text) {
  simdjson::dom::element found;
  if (text.empty()) {
    parser_->object.reset();
    parser_->slow = nullptr;
    return false;
  }
  if (parser_->parse(text, found)) {
    simdjson::dom::object object;
    if (found.get_object().get(object) != simdjson::SUCCESS) {
      return false;
    }
    parser_->object = object;
    return true;
  }
  auto slow = parse_json(text);
  if (slow && slow->is_object()) {
    parser_->slow = std::move(*slow);
    return true;
  }
  return false;
}

bool JsonMembers::is_value(std::string_view text) {
  simdjson::dom::element found;
  if (text.empty()) {
    return false;
  }
  if (parser_->parse(text, found)) {
    return !found.is_null();
  }
  const auto slow = parse_json(text);
  return slow && !slow->is_null();
}

std::optional<std::string_view> JsonMembers::text(std::string_view key) const {
  if (parser_->slow.is_object()) {
    const auto found = parser_->slow.find(key);
    return found != parser_->slow.end() && found->is_string()
               ? std::optional<std::string_view>(found->get_ref<const std::string&>())
               : std::nullopt;
  }
  std::optional<std::string_view> last;
  if (parser_->object) {
    for (const auto& [name, value] : *parser_->object) {
      std::string_view text;
      if (name == key) {
        last =
            value.get_string().get(text) == simdjson::SUCCESS ? std::optional(text) : std::nullopt;
      }
    }
  }
  return last;
}

}  // namespace ipf
