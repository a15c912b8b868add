#include "monitor/hub_question.hpp"

#include <chrono>
#include <string>
#include <utility>

namespace ipf {

Result<Answer> read_answer(const Request& request) {
  if (!request.local_error_name().empty()) {
    return unexpected(ErrorCode::closed, request.local_error_text());
  }
  auto content = parse_json_object(request.reply_content(), "the reply");
  if (!content) {
    return unexpected(content.error());
  }
  if (string_or(*content, "status") == "error") {
    return unexpected(ErrorCode::unavailable,
                      string_or(*content, "ename") + ": " + string_or(*content, "evalue"));
  }
  Answer out{.content = std::move(*content),
             .round_trip = std::chrono::microseconds(request.received_microseconds() -
                                                     request.submitted_microseconds())};
  if (const auto header = parse_json_object(request.reply_header(), "the header")) {
    if (WallTime at; parse_iso(string_or(*header, "date"), at)) {
      out.replied_at = at;
    }
  }
  return out;
}

Result<Answer> wait_for_answer(const Request& request, Duration limit) {
  if (!request.wait(limit)) {
    return unexpected(ErrorCode::timed_out, "no answer to " + request.type());
  }
  return read_answer(request);
}

Request ask_hub(Client& client, std::string_view type, std::string_view content) {
  return client.send({.route = Route::hub, .type = type, .content = content});
}

Request ask_engine(Client& client, std::string_view uuid, std::string_view type) {
  return client.send({.route = Route::control, .type = type, .engine_uuid = uuid});
}

}  // namespace ipf
