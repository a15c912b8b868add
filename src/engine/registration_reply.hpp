#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "engine/engine_events.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

/// What the hub has answered to a registration.
struct RegistrationReply {
  std::optional<RegistrationRefused> refused{};
  RegistrationAccepted accepted{};  ///< means nothing when it was refused
  Json content{};

  /// The connection that it describes, completed by what is known already: for an engine that was
  /// told nothing but where to register.
  [[nodiscard]] Result<ConnectionInfo> complete(const ConnectionInfo& known) const;
};

/// Reads the content of a registration_reply to the engine with this uuid. Fails when it is none.
Result<RegistrationReply> read_registration_reply(std::string_view content, std::string_view uuid);

}  // namespace ipf::engine
