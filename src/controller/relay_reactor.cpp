#include "controller/relay_reactor.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

constexpr int burst = 256;

/// The outputs that end up in a task's record or tell that an engine ends.
bool concerns_hub(std::string_view type) {
  constexpr std::array<std::string_view, 6> types{"stream", "execute_input", "execute_result",
                                                  "error",  "display_data",  "shutdown_reply"};
  return std::find(types.begin(), types.end(), type) != types.end();
}

bool is_idle(const Message& status) {
  const auto content = parse_json_object(status.content(), "content");
  return content && string_or(*content, "execution_state") == "idle";
}

ZmtpRouter::Options outputs_of_engines(const NetLimits& limits) {
  auto options = ZmtpRouter::Options::with({}, limits);
  options.type = ZmtpType::sub;
  return options;
}

}  // namespace

RelayReactor::RelayReactor(
    const NetLimits& limits, const Signer& signer, SeenSignatures& seen, HubMailbox& hub, Log& log)
    : signer_(signer),
      hub_(hub),
      session_(new_session_id(), user_name(), signer),
      mux_(loop_, signer, seen, {.name = "mux", .recorded = true, .net = limits}, session_, log),
      control_(loop_, signer, seen, {.name = "control", .net = limits}, session_, log),
      iopub_clients_(loop_, "iopub of clients", limits, log),
      iopub_engines_(loop_, "iopub of engines", outputs_of_engines(limits), log),
      commands_(mailbox_capacity, [this] { wakeup_.signal(); }),
      rejected_outputs_(log, "iopub") {}

void RelayReactor::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    TimePoint now = steady_now();
    TimePoint deadline =
        std::min({mux_.next_deadline(now), control_.next_deadline(now), hub_.next_deadline(),
                  iopub_clients_.next_deadline(), iopub_engines_.next_deadline(),
                  held_.empty() ? TimePoint::never() : gate_.next_deadline()});
    if (iopub_engines_.readable()) {
      deadline = now;
    }
    loop_.wait(now, deadline);
    now = steady_now();
    wakeup_.take();
    take_commands(now);  // an engine that a client knows must be known here, too
    receive_subscriptions(now);
    release_held(now);
    // Control first: an abort or a signal must not wait behind a burst of requests.
    control_.receive_requests(now, hub_.events());
    control_.receive_replies(now, hub_.events());
    control_.flush(now);
    mux_.receive_replies(now, hub_.events());
    receive_outputs(now);
    mux_.receive_requests(now, hub_.events());
    mux_.retry(now);
    control_.retry(now);
    board_.write({.clients = iopub_clients_.traffic(),
                  .engines = iopub_engines_.traffic(),
                  .rejected = rejected_outputs_.counts(),
                  .waiting = held_.size()});
    hub_.flush(now);  // first: who has an answer may ask the hub about it at once
    control_.flush(now);
    mux_.flush(now);
    iopub_engines_.check_deadlines(now);
    iopub_engines_.flush();
    iopub_clients_.check_deadlines(now);
    iopub_clients_.flush();
  }
}

void RelayReactor::take_commands(TimePoint now) {
  commands_.take(taken_);
  for (auto& command : taken_) {
    std::visit([&](auto& concrete) { obey(now, concrete); }, command);
  }
  taken_.clear();
}

void RelayReactor::obey(TimePoint now, ClientConnected& command) {
  gate_.client_connected(now, std::move(command.session));
}

void RelayReactor::obey(TimePoint /*now*/, EngineAnnounced& command) {
  mux_.engine_announced(command.uuid);
  control_.engine_announced(command.uuid);
  begun_[command.uuid].clear();
}

void RelayReactor::obey(TimePoint now, EngineRetired& command) {
  mux_.engine_retired(now, command.uuid);
  control_.engine_retired(now, command.uuid);
  const auto begun = begun_.extract(command.uuid);
  if (!command.silent) {
    return;
  }
  // What a frozen engine has begun must not be run again elsewhere; the rest may.
  if (!begun.empty() && !begun.mapped().empty()) {
    to_tasks_(TaskStarted{.msg_id = begun.mapped(), .engine_uuid = command.uuid});
  }
  to_tasks_(command);
}

void RelayReactor::obey(TimePoint now, EngineControlled& command) {
  control_.request(now, command.uuid, command.msg_type, command.content);
}

void RelayReactor::receive_outputs(TimePoint now) {
  for (int i = 0; i < burst; ++i) {
    auto frames = iopub_engines_.receive();
    if (!frames) {
      return;
    }
    const std::string engine_link((*frames)[0]);
    auto output = verify_message(std::move(*frames), signer_);
    if (!output) {
      rejected_outputs_.note(now, "an output", output.error(),
                             iopub_engines_.peer_address(engine_link));
      continue;
    }
    if (!held_.empty() || must_wait(now, *output)) {
      held_.push_back(std::move(*output));
    } else {
      forward(std::move(*output));
    }
  }
}

void RelayReactor::receive_subscriptions(TimePoint now) {
  for (std::size_t fresh = iopub_clients_.take_subscriptions(); fresh > 0; --fresh) {
    gate_.subscribed(now);
  }
}

bool RelayReactor::must_wait(TimePoint now, const Message& output) {
  constexpr std::size_t held_max = 100'000;
  if (!gate_.expects_any(now) || held_.size() >= held_max) {
    return false;
  }
  const auto parent = reader_.read_parent(output);
  return parent && gate_.holds(now, parent->session);
}

void RelayReactor::release_held(TimePoint now) {
  while (!held_.empty() && !must_wait(now, held_.front())) {
    forward(std::move(held_.front()));
    held_.pop_front();
  }
}

void RelayReactor::forward(Message output) {
  iopub_clients_.publish(output.frames(), 1);  // behind the name of the engine's link
  const auto header = reader_.read_header(output);
  if (!header) {
    return;
  }
  const auto call = CoalescedLeg::read(output);
  if (header->msg_type == "status") {
    if (call && is_idle(output)) {
      end_leg(*call);
    }
    note_status(output, header->session);
    return;
  }
  if (!concerns_hub(header->msg_type)) {
    return;
  }
  OutputSeen event{.msg_type = std::string(header->msg_type),
                   .parent_msg_id = {},
                   .sender_session = std::string(header->session),
                   .output = std::move(output)};
  if (call) {
    event.parent_msg_id = call->msg_id;
  } else if (const auto parent = reader_.read_parent(event.output)) {
    event.parent_msg_id = std::string(parent->msg_id);
  }
  hub_.events().emplace_back(std::move(event));
}

void RelayReactor::note_status(const Message& status, std::string_view engine_uuid) {
  const auto engine = begun_.find(std::string(engine_uuid));
  const auto parent = reader_.read_parent(status);
  if (engine == begun_.end() || !parent) {
    return;
  }
  // Control requests are handled while user code runs and say nothing about it.
  if (parent->msg_type != "apply_request" && parent->msg_type != "execute_request") {
    return;
  }
  if (status.content().find("\"busy\"") != std::string_view::npos) {
    engine->second = parent->msg_id;
  } else if (engine->second == parent->msg_id) {
    engine->second.clear();
  }
}

void RelayReactor::end_leg(const CoalescedLeg& leg) {
  if (!coalesced_.leg_ended(leg.msg_id, leg.legs, leg.leg_msg_id)) {
    return;
  }
  constexpr std::array<std::string_view, 1> topic{"broadcast.status"};
  iopub_clients_.publish(session_.make({.type = "status",
                                        .parent = leg.call_header(),
                                        .content = R"({"execution_state": "idle"})",
                                        .identities = topic},
                                       wall_now()),
                         0);
}

}  // namespace ipf
