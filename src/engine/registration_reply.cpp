#include "engine/registration_reply.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace ipf::engine {

namespace {

/// How often the hub pings, unless it says so.
constexpr std::int64_t default_period_ms = 3000;
constexpr std::int64_t period_ms_max = 86'400'000;
constexpr std::size_t reason_max = 500;

}  // namespace

Result<ConnectionInfo> RegistrationReply::complete(const ConnectionInfo& known) const {
  const auto found = content.find("connection_info");
  if (found == content.end() || !found->is_object()) {
    return unexpected(ErrorCode::malformed,
                      "the registration reply names no ports; give the connection file");
  }
  Json info = *found;
  for (const auto& [key, value] : {std::pair{"pack", "json"}, {"unpack", "json"}}) {
    if (!info.contains(key)) {
      info[key] = value;
    }
  }
  info["interface"] = known.interface;
  info["registration"] = known.registration;
  info["key"] = known.key;
  info["signature_scheme"] = known.signature_scheme;
  info["curve_serverkey"] = known.curve_serverkey ? Json(*known.curve_serverkey) : Json(nullptr);
  return parse_connection_info(dump_json(info), PeerRole::engine, "from the registration reply");
}

Result<RegistrationReply> read_registration_reply(std::string_view content, std::string_view uuid) {
  auto json = parse_json_object(content, "registration reply");
  if (!json) {
    return unexpected(json.error());
  }
  RegistrationReply reply;
  const auto id = json->find("id");
  if (string_or(*json, "status") != "ok" || id == json->end() || !id->is_number_integer()) {
    const std::string reason = string_or(*json, "evalue", "it gave no reason");
    reply.refused = RegistrationRefused{.reason = printable(reason, reason_max),
                                        .known = reason.find(uuid) != std::string::npos &&
                                                 reason.find("in use") != std::string::npos};
    return reply;
  }
  std::int64_t period_ms = default_period_ms;
  if (const auto period = json->find("hb_period"); period != json->end() && period->is_number()) {
    period_ms = std::clamp<std::int64_t>(period->get<std::int64_t>(), 1, period_ms_max);
  }
  reply.accepted = {.id = EngineId{id->get<std::int32_t>()},
                    .ping_period = std::chrono::milliseconds(period_ms)};
  reply.content = std::move(*json);
  return reply;
}

}  // namespace ipf::engine
