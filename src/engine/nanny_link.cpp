#include "engine/nanny_link.hpp"

#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

bool is_true(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

std::string registered_line(const EngineCard& card) {
  return dump_json({{"id", card.id.value},
                    {"uuid", card.uuid},
                    {"url", card.url},
                    {"key", card.key},
                    {"scheme", card.scheme},
                    {"curve_serverkey", card.curve_serverkey.value_or("")}}) +
         "\n";
}

std::string unregistered_line() {
  return "{\"unregistered\": true}\n";
}

std::string leaving_line(bool restart) {
  return dump_json({{"leaving", true}, {"restart", restart}}) + "\n";
}

std::string end_line(std::string_view why) {
  return dump_json({{"end", why}}) + "\n";
}

NannyLine read_nanny_line(std::string_view line) {
  NannyLine out;
  const auto object = parse_json_object(line, "a line of engine or nanny");
  if (!object) {
    return out;
  }
  out.unregistered = is_true(*object, "unregistered");
  out.leaving = is_true(*object, "leaving");
  out.restart = is_true(*object, "restart");
  if (const auto end = object->find("end"); end != object->end() && end->is_string()) {
    out.end = end->get<std::string>();
  }
  if (const auto id = object->find("id"); id != object->end() && id->is_number_integer()) {
    out.card = EngineCard{.uuid = string_or(*object, "uuid"),
                          .url = string_or(*object, "url"),
                          .key = string_or(*object, "key"),
                          .scheme = string_or(*object, "scheme"),
                          .curve_serverkey = string_or(*object, "curve_serverkey"),
                          .id = EngineId{id->get<std::int32_t>()}};
  }
  return out;
}

}  // namespace ipf::engine
