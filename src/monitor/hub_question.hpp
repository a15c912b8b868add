#pragma once

#include <optional>
#include <string_view>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "ipyfleet/client.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

/// What the hub or an engine answered.
struct Answer {
  Json content{};
  Duration round_trip{};
  std::optional<WallTime> replied_at{};  ///< by the clock of who answered
};

/// The answer to a request that is done(): a reply whose content is an object. An error reply is
/// `unavailable` with its text; one that never came (the connection broke) `closed`.
Result<Answer> read_answer(const Request& request);

/// Waits for it; `timed_out` when there is none within `limit`.
Result<Answer> wait_for_answer(const Request& request, Duration limit);

/// A question to the hub; the client throws nothing but what its send() does.
Request ask_hub(Client& client, std::string_view type, std::string_view content = "{}");

/// A question to one engine on the control channel, which is answered while user code runs there.
Request ask_engine(Client& client, std::string_view uuid, std::string_view type);

}  // namespace ipf
