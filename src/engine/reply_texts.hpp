#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "protocol/json_text.hpp"

/// JSON texts of an engine's messages (protocol.md 4.5 to 4.9). No IO, no state.
namespace ipf::engine {

/// What a reply repeats of the request's metadata, as JSON text ready to be pasted.
struct EchoedMetadata {
  std::string is_broadcast{"false"};
  std::string is_coalescing{"false"};
  std::string original_msg_id{"\"\""};
  std::string label{"null"};
  bool operator==(const EchoedMetadata&) const = default;
};

/// Never fails: what is missing or malformed keeps its default. The common metadata of direct and
/// load-balanced requests is recognised without parsing it.
EchoedMetadata read_echoed_metadata(std::string_view metadata);

/// `moved`: aborted, and forgotten, because its controller gave the request to others; should it
/// come again it is a new one. Only ipyfleet's controllers get it.
enum class ReplyStatus { ok, error, aborted, moved };

struct ReplyFacts {
  ReplyStatus status{ReplyStatus::ok};
  WallTime started{};
  bool dependencies_met{true};
};

/// Who the engine is, on every message that it makes.
class EngineIdentity {
 public:
  EngineIdentity(std::string uuid, EngineId id);

  [[nodiscard]] const std::string& uuid() const { return uuid_; }
  [[nodiscard]] EngineId id() const { return id_; }
  /// `engine.<id>.<suffix>`
  [[nodiscard]] std::string topic(std::string_view suffix) const;
  /// `{"engine": "<uuid>"}`
  [[nodiscard]] const std::string& metadata() const { return metadata_; }
  [[nodiscard]] std::string reply_metadata(const ReplyFacts& facts,
                                           const EchoedMetadata& echoed) const;
  /// Content of an error reply with engine_info, so that clients wait for its idle.
  [[nodiscard]] std::string error_content(std::string_view ename,
                                          std::string_view evalue,
                                          std::string_view method) const;

 private:
  std::string uuid_;
  EngineId id_;
  std::string uuid_json_;
  std::string metadata_;
};

/// What the content of a reply from Python says that the reply's metadata must repeat.
struct ReplyVerdict {
  ReplyStatus status{ReplyStatus::ok};
  bool dependencies_met{true};
};
ReplyVerdict read_verdict(std::string_view content);

/// True when a failed execute_request with this content aborts what waits behind it.
bool stops_on_error(std::string_view execute_content);

/// `x_reply` for `x_request`; any other type gets `_reply` appended.
std::string reply_type(std::string_view request_type);

/// Content of a `stream` message.
std::string stream_content(std::string_view name, std::string_view text);

/// kernel_info_reply of an engine that runs Python `version`.
std::string kernel_info_content(std::string_view version,
                                std::string_view implementation_version,
                                bool debugger);

}  // namespace ipf::engine
