#include "protocol/json_members.hpp"

#include <simdjson.h>

namespace ipf {

struct JsonMembers::Parser {
  simdjson::dom::parser parser;
  std::optional<simdjson::dom::object> object;
};

JsonMembers::JsonMembers() : parser_(std::make_unique<Parser>()) {}
JsonMembers::~JsonMembers() = default;

bool JsonMembers::open(std::string_view text) {
  simdjson::dom::object found;
  parser_->object.reset();
  if (text.empty() || parser_->parser.parse(text).get_object().get(found) != simdjson::SUCCESS) {
    return false;
  }
  parser_->object = found;
  return true;
}

std::optional<std::string_view> JsonMembers::text(std::string_view key) const {
  std::string_view found;
  if (!parser_->object ||
      parser_->object->at_key(key).get_string().get(found) != simdjson::SUCCESS) {
    return std::nullopt;
  }
  return found;
}

}  // namespace ipf
