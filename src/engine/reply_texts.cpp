#include "engine/reply_texts.hpp"

#include <utility>

namespace ipf::engine {

namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

/// A quote inside a JSON string is escaped, so `"label": ` can only be a key.
bool is_plain(std::string_view metadata) {
  const auto label = metadata.find("\"label\"");
  if (label != std::string_view::npos) {
    const std::string_view from = metadata.substr(label);
    if (!from.starts_with("\"label\": null") && !from.starts_with("\"label\":null")) {
      return false;
    }
    if (from.find("\"label\"", 1) != std::string_view::npos) {
      return false;
    }
  }
  return metadata.find("\"is_broadcast\"") == std::string_view::npos &&
         metadata.find("\"is_coalescing\"") == std::string_view::npos &&
         metadata.find("\"original_msg_id\"") == std::string_view::npos &&
         metadata.find('\\') == std::string_view::npos;
}

void copy_value(const Json& object, const char* key, std::string& out) {
  if (const auto found = object.find(key); found != object.end()) {
    out = dump_json(*found);
  }
}

const char* status_text(ReplyStatus status) {
  switch (status) {
    case ReplyStatus::ok:
      return "ok";
    case ReplyStatus::error:
      return "error";
    case ReplyStatus::aborted:
      return "aborted";
    case ReplyStatus::moved:
      return "moved";
  }
  return "error";
}

}  // namespace

EchoedMetadata read_echoed_metadata(std::string_view metadata) {
  EchoedMetadata out;
  if (is_plain(metadata)) {
    return out;
  }
  const auto parsed = parse_json(metadata);
  if (!parsed || !parsed->is_object()) {
    return out;
  }
  copy_value(*parsed, "is_broadcast", out.is_broadcast);
  copy_value(*parsed, "is_coalescing", out.is_coalescing);
  copy_value(*parsed, "original_msg_id", out.original_msg_id);
  copy_value(*parsed, "label", out.label);
  return out;
}

EngineIdentity::EngineIdentity(std::string uuid, EngineId id)
    : uuid_(std::move(uuid)),
      id_(id),
      uuid_json_(json_string(uuid_)),
      metadata_("{\"engine\": " + uuid_json_ + "}") {}

std::string EngineIdentity::topic(std::string_view suffix) const {
  std::string out = "engine." + std::to_string(id_.value) + ".";
  out += suffix;
  return out;
}

std::string EngineIdentity::reply_metadata(const ReplyFacts& facts,
                                           const EchoedMetadata& echoed) const {
  std::string out;
  out.reserve(384);
  out += "{\"started\": \"";
  append_iso(out, facts.started);
  out += "\", \"dependencies_met\": ";
  out += facts.dependencies_met ? "true" : "false";
  out += ", \"engine\": ";
  out += uuid_json_;
  out += ", \"is_broadcast\": ";
  out += echoed.is_broadcast;
  out += ", \"is_coalescing\": ";
  out += echoed.is_coalescing;
  out += ", \"original_msg_id\": ";
  out += echoed.original_msg_id;
  out += ", \"label\": ";
  out += echoed.label;
  out += ", \"status\": \"";
  out += status_text(facts.status);
  out += '"';
  if (facts.status == ReplyStatus::error) {
    out += ", \"engine_info\": {\"engine_uuid\": ";
    out += uuid_json_;
    out += ", \"engine_id\": ";
    out += std::to_string(id_.value);
    out += '}';
  }
  out += '}';
  return out;
}

std::string EngineIdentity::error_content(std::string_view ename,
                                          std::string_view evalue,
                                          std::string_view method) const {
  const std::string name(ename);
  const std::string value(evalue);
  return dump_json(
      {{"status", "error"},
       {"traceback", Json::array({name + ": " + value})},
       {"ename", name},
       {"evalue", value},
       {"engine_info",
        {{"engine_uuid", uuid_}, {"engine_id", id_.value}, {"method", std::string(method)}}}});
}

ReplyVerdict read_verdict(std::string_view content) {
  const auto parsed = parse_json(content);
  if (!parsed || !parsed->is_object()) {
    return {.status = ReplyStatus::error};
  }
  const std::string status = string_or(*parsed, "status", "error");
  ReplyVerdict verdict;
  if (status == "ok") {
    return verdict;
  }
  verdict.status = status == "aborted" ? ReplyStatus::aborted : ReplyStatus::error;
  verdict.dependencies_met = string_or(*parsed, "ename") != "UnmetDependency";
  return verdict;
}

bool stops_on_error(std::string_view execute_content) {
  const auto parsed = parse_json(execute_content);
  if (!parsed || !parsed->is_object()) {
    return false;
  }
  const auto flag = [&](const char* key, bool otherwise) {
    const auto found = parsed->find(key);
    return found == parsed->end() || !found->is_boolean() ? otherwise : found->get<bool>();
  };
  return !flag("silent", false) && flag("stop_on_error", true);
}

std::string reply_type(std::string_view request_type) {
  constexpr std::string_view request = "_request";
  if (request_type.ends_with(request)) {
    request_type.remove_suffix(request.size());
  }
  return std::string(request_type) + "_reply";
}

std::string stream_content(std::string_view name, std::string_view text) {
  std::string out;
  out.reserve(text.size() + 48);
  out += "{\"name\": ";
  append_json_string(out, name);
  out += ", \"text\": ";
  append_json_string(out, text);
  out += '}';
  return out;
}

std::string kernel_info_content(std::string_view version,
                                std::string_view implementation_version,
                                bool debugger) {
  const std::string python(version);
  const std::string own(implementation_version);
  return dump_json({{"status", "ok"},
                    {"protocol_version", "5.3"},
                    {"implementation", "ipyfleet"},
                    {"implementation_version", own},
                    {"language_info",
                     {{"name", "python"},
                      {"version", python},
                      {"mimetype", "text/x-python"},
                      {"codemirror_mode", {{"name", "ipython"}, {"version", 3}}},
                      {"pygments_lexer", "ipython3"},
                      {"nbconvert_exporter", "python"},
                      {"file_extension", ".py"}}},
                    {"banner", "Python " + python + " in ipengine (ipyfleet " + own + ")"},
                    {"help_links", Json::array()},
                    {"debugger", debugger},
                    {"supported_features", debugger ? Json::array({"debugger"}) : Json::array()}});
}

}  // namespace ipf::engine
