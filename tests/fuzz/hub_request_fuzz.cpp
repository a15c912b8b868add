// A request on the hub's registration socket: the first line is the message type, the rest the
// content. Every request that is answered gets exactly one reply of valid JSON, and the hub stays
// consistent.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/check.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store_dict.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_text.hpp"
#include "protocol/requests.hpp"

namespace {

ipf::Message message_of(std::string_view content) {
  ipf::FramesBuilder builder;
  builder.add("client");
  builder.add(ipf::delimiter);
  builder.add("");
  builder.add(R"({"msg_id": "m", "session": "s", "date": "2026-11-21T01:40:35Z"})");
  builder.add("{}");
  builder.add("{}");
  builder.add(content);
  builder.add("buffer");
  auto message = ipf::Message::split(builder.finish());
  IPF_CHECK(message);
  return std::move(*message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto line = std::min(text.find('\n'), text.size());
  const auto type = text.substr(0, line);
  const auto content_text = text.substr(std::min(line + 1, text.size()));
  const auto content = ipf::parse_json(content_text);
  if (!content) {
    return 0;
  }
  ipf::DictStore store;
  ipf::HubMachine hub({}, store);
  ipf::HubActions actions;
  const auto step = [&](std::int64_t ms, ipf::HubEvent event) {
    actions.clear();
    hub.step({ms * 1'000'000}, {ms * 1000}, std::move(event), actions);
    hub.check_invariants();
  };
  step(1,
       ipf::HubRequestReceived{.request = message_of("{}"),
                               .decoded = ipf::HubRequest{ipf::RegistrationRequest{.uuid = "e"}}});
  step(2, ipf::HeartStarted{.uuid = "e"});
  step(3, ipf::RequestSeen{.queue = ipf::TaskQueue::mux,
                           .msg_id = "m",
                           .engine_uuid = "e",
                           .request = message_of(content_text)});
  step(4, ipf::ReplySeen{.queue = ipf::TaskQueue::mux,
                         .msg_id = "m",
                         .engine_uuid = "e",
                         .reply = message_of(content_text)});
  int replies = 0;
  const auto count_replies = [&] {
    for (const auto& action : actions) {
      if (const auto* reply = std::get_if<ipf::SendHubReply>(&action)) {
        const auto sent = ipf::parse_json_object(reply->content, "reply");
        IPF_CHECK(sent && sent->contains("status"));
        ++replies;
      } else if (std::holds_alternative<ipf::ReportStatus>(action)) {
        ++replies;  // who has the figures makes it
      }
    }
  };
  step(5, ipf::HubRequestReceived{.request = message_of(content_text),
                                  .decoded = ipf::decode_hub_request(type, *content)});
  count_replies();
  step(100'000, ipf::TimePassed{});
  count_replies();  // nobody explains the tasks of an explain_request here
  const bool unanswered = type == "unregistration_request" && replies == 0;
  IPF_CHECK(replies == 1 || unanswered);
  return 0;
}
