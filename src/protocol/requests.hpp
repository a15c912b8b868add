#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/ids.hpp"
#include "protocol/error_content.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

/// What clients, engines and nannies may ask the hub on its registration socket (protocol.md 4.1
/// and 4.4), one struct each, decoded and type-checked.

/// An engine named by a client: its number or its uuid.
using EngineName = std::variant<EngineId, std::string>;

struct RegistrationRequest {
  std::string uuid{};
  std::optional<EngineId> wanted_id{};
  ResourceMap resources{};  ///< what the engine has for tasks that need some
};
struct UnregistrationRequest {
  std::optional<EngineId> id{};  ///< missing when the engine never got a reply
};
struct ConnectionRequest {};
struct QueueRequest {
  std::optional<std::vector<EngineName>> targets{};  ///< missing: all engines
  bool verbose{false};
};
struct LoadRequest {
  std::optional<std::vector<EngineName>> targets{};
};
struct ResultRequest {
  std::vector<std::string> msg_ids{};
  bool status_only{false};
};
struct HistoryRequest {};
struct DbRequest {
  Json query = Json::object();
  std::optional<std::vector<std::string>> keys{};
};
struct PurgeRequest {
  bool all{false};
  std::vector<std::string> msg_ids{};
  std::vector<EngineId> engine_ids{};
};
struct ResubmitRequest {
  std::vector<std::string> msg_ids{};
};
struct ShutdownRequest {};
/// Why are these load-balanced tasks where they are? Not part of ipyparallel's protocol.
struct ExplainRequest {
  std::vector<std::string> msg_ids{};
};

/// The controller's figures (hub/hub_events.hpp, ReportStatus). Not part of ipyparallel's protocol.
struct StatusRequest {};

using HubRequest = std::variant<RegistrationRequest,
                                UnregistrationRequest,
                                ConnectionRequest,
                                QueueRequest,
                                LoadRequest,
                                ResultRequest,
                                HistoryRequest,
                                DbRequest,
                                PurgeRequest,
                                ResubmitRequest,
                                ShutdownRequest,
                                ExplainRequest,
                                StatusRequest>;

/// A decoded request, or what the client gets as hub_error.
using DecodedRequest = std::variant<HubRequest, RemoteFailure>;

/// Decodes by message type; unknown types and contents of the wrong type become a RemoteFailure.
DecodedRequest decode_hub_request(std::string_view msg_type, const Json& content);

}  // namespace ipf
