#include "protocol/requests.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

namespace ipf {

namespace {

RemoteFailure type_error(std::string text) {
  return {.ename = "TypeError", .evalue = std::move(text)};
}

bool as_engine_id(const Json& value, EngineId& out) {
  if (!value.is_number_integer()) {
    return false;
  }
  const auto number = value.get<std::int64_t>();
  if (number < 0 || number > std::numeric_limits<std::int32_t>::max()) {
    return false;
  }
  out = EngineId{static_cast<std::int32_t>(number)};
  return true;
}

bool as_strings(const Json& value, std::vector<std::string>& out) {
  if (value.is_string()) {
    out.push_back(value.get<std::string>());
    return true;
  }
  if (!value.is_array()) {
    return false;
  }
  for (const auto& item : value) {
    if (!item.is_string()) {
      return false;
    }
    out.push_back(item.get<std::string>());
  }
  return true;
}

using Targets = std::optional<std::vector<EngineName>>;

/// The `targets` key: null or missing means all; a number, a uuid or a list of them.
bool as_targets(const Json& content, Targets& out) {
  const auto found = content.find("targets");
  if (found == content.end() || found->is_null()) {
    return true;
  }
  const Json list = found->is_array() ? *found : Json::array({*found});
  out.emplace();
  for (const auto& item : list) {
    EngineId id;
    if (as_engine_id(item, id)) {
      out->emplace_back(id);
    } else if (item.is_string()) {
      out->emplace_back(item.get<std::string>());
    } else {
      return false;
    }
  }
  return true;
}

/// `"ipyfleet": {"resources": {"gpu": 2}}`, as our engines send it.
bool as_resources(const Json& content, ResourceMap& out) {
  constexpr std::size_t names_max = 16;
  constexpr std::size_t name_bytes_max = 64;
  const auto ours = content.find("ipyfleet");
  if (ours == content.end() || !ours->is_object() || !ours->contains("resources")) {
    return true;
  }
  const Json& resources = ours->at("resources");
  if (!resources.is_object() || resources.size() > names_max) {
    return false;
  }
  for (const auto& [name, amount] : resources.items()) {
    if (name.empty() || name.size() > name_bytes_max || !amount.is_number() ||
        !(amount.get<double>() >= 0)) {
      return false;
    }
    out[name] = amount.get<double>();
  }
  return true;
}

DecodedRequest decode_registration(const Json& content) {
  RegistrationRequest request{.uuid = string_or(content, "uuid"), .wanted_id = {}};
  constexpr std::size_t uuid_bytes_max = 200;  // a ZeroMQ routing id has at most 255 bytes
  if (request.uuid.empty() || request.uuid.size() > uuid_bytes_max || request.uuid[0] == '\0') {
    return key_error("registration_request needs a 'uuid' of 1 to 200 characters");
  }
  if (const auto id = content.find("id"); id != content.end() && !id->is_null()) {
    EngineId wanted;
    if (!as_engine_id(*id, wanted)) {
      return type_error("registration_request: 'id' must be a whole number from 0");
    }
    request.wanted_id = wanted;
  }
  if (!as_resources(content, request.resources)) {
    return type_error(
        "registration_request: 'resources' must be a dictionary of at most 16 names of 1 to 64 "
        "bytes and numbers from 0");
  }
  return request;
}

DecodedRequest decode_unregistration(const Json& content) {
  UnregistrationRequest request;
  if (const auto id = content.find("id"); id != content.end() && !id->is_null()) {
    EngineId engine;
    if (!as_engine_id(*id, engine)) {
      return type_error("unregistration_request: 'id' must be a whole number or null");
    }
    request.id = engine;
  }
  return request;
}

DecodedRequest decode_queue(const Json& content) {
  QueueRequest request;
  if (!as_targets(content, request.targets)) {
    return type_error("queue_request: 'targets' must be null or a list of engine ids");
  }
  if (const auto verbose = content.find("verbose");
      verbose != content.end() && verbose->is_boolean()) {
    request.verbose = verbose->get<bool>();
  }
  return request;
}

DecodedRequest decode_load(const Json& content) {
  LoadRequest request;
  if (!as_targets(content, request.targets)) {
    return type_error("load_request: 'targets' must be null or a list of engine ids");
  }
  return request;
}

DecodedRequest decode_result(const Json& content) {
  ResultRequest request;
  const auto ids = content.find("msg_ids");
  if (ids == content.end() || !as_strings(*ids, request.msg_ids)) {
    return type_error("result_request: 'msg_ids' must be a list of strings");
  }
  if (const auto only = content.find("status_only"); only != content.end() && only->is_boolean()) {
    request.status_only = only->get<bool>();
  }
  return request;
}

DecodedRequest decode_db(const Json& content) {
  DbRequest request;
  if (const auto query = content.find("query"); query != content.end() && !query->is_null()) {
    if (!query->is_object()) {
      return type_error("db_request: 'query' must be a dictionary");
    }
    request.query = *query;
  }
  if (const auto keys = content.find("keys"); keys != content.end() && !keys->is_null()) {
    request.keys.emplace();
    if (!as_strings(*keys, *request.keys)) {
      return type_error("db_request: 'keys' must be null or a list of column names");
    }
  }
  return request;
}

DecodedRequest decode_purge(const Json& content) {
  PurgeRequest request;
  if (const auto ids = content.find("msg_ids"); ids != content.end() && !ids->is_null()) {
    if (ids->is_string() && ids->get<std::string>() == "all") {
      request.all = true;
    } else if (!as_strings(*ids, request.msg_ids)) {
      return type_error("purge_request: 'msg_ids' must be \"all\" or a list of strings");
    }
  }
  if (const auto engines = content.find("engine_ids");
      engines != content.end() && !engines->is_null()) {
    const Json list = engines->is_array() ? *engines : Json::array({*engines});
    for (const auto& item : list) {
      EngineId id;
      if (!as_engine_id(item, id)) {
        return type_error("purge_request: 'engine_ids' must be a list of engine ids");
      }
      request.engine_ids.push_back(id);
    }
  }
  return request;
}

DecodedRequest decode_resubmit(const Json& content) {
  ResubmitRequest request;
  const auto ids = content.find("msg_ids");
  if (ids == content.end() || !as_strings(*ids, request.msg_ids)) {
    return type_error("resubmit_request: 'msg_ids' must be a list of strings");
  }
  return request;
}

DecodedRequest decode_explain(const Json& content) {
  constexpr std::size_t questions_max = 10'000;
  ExplainRequest request;
  const auto ids = content.find("msg_ids");
  if (ids == content.end() || !as_strings(*ids, request.msg_ids) ||
      request.msg_ids.size() > questions_max) {
    return type_error("explain_request: 'msg_ids' must be a list of at most 10000 strings");
  }
  return request;
}

template <class Empty>
DecodedRequest decode_empty(const Json& /*content*/) {
  return Empty{};
}

using Decoder = DecodedRequest (*)(const Json&);
constexpr std::array<std::pair<std::string_view, Decoder>, 13> decoders{{
    {"registration_request", decode_registration},
    {"unregistration_request", decode_unregistration},
    {"connection_request", decode_empty<ConnectionRequest>},
    {"queue_request", decode_queue},
    {"load_request", decode_load},
    {"result_request", decode_result},
    {"history_request", decode_empty<HistoryRequest>},
    {"db_request", decode_db},
    {"purge_request", decode_purge},
    {"resubmit_request", decode_resubmit},
    {"shutdown_request", decode_empty<ShutdownRequest>},
    {"explain_request", decode_explain},
    {"status_request", decode_empty<StatusRequest>},
}};

}  // namespace

DecodedRequest decode_hub_request(std::string_view msg_type, const Json& content) {
  if (!content.is_object()) {
    return type_error("the content of a request must be a dictionary");
  }
  for (const auto& [type, decode] : decoders) {
    if (type == msg_type) {
      return decode(content);
    }
  }
  return key_error("Bad Message Type: '" + std::string(msg_type.substr(0, 100)) + "'");
}

}  // namespace ipf
