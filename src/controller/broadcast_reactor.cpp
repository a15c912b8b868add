#include "controller/broadcast_reactor.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "core/check.hpp"
#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

constexpr std::size_t targets_max = 100'000;

struct BroadcastMetadata {
  bool coalescing{false};
  std::vector<BroadcastTarget> targets{};
};

Result<BroadcastMetadata> read_metadata(const Json& metadata) {
  BroadcastMetadata out;
  out.coalescing = metadata.value("is_coalescing", Json(false)) == Json(true);
  const auto targets = metadata.find("targets");
  if (targets == metadata.end() || !targets->is_array() || targets->size() > targets_max) {
    return unexpected(ErrorCode::malformed,
                      "metadata: 'targets' must be a list of [uuid, id] pairs");
  }
  out.targets.reserve(targets->size());
  for (const auto& pair : *targets) {
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() ||
        !pair[1].is_number_integer()) {
      return unexpected(ErrorCode::malformed,
                        "metadata: 'targets' must be a list of [uuid, id] pairs");
    }
    out.targets.push_back({pair[0].get<std::string>(), EngineId{pair[1].get<std::int32_t>()}});
  }
  return out;
}

/// The call's msg_id, if the reply's parent is the leg of this engine: nobody answers for others.
std::optional<std::string> call_of(std::string_view parent_msg_id, std::string_view engine_uuid) {
  if (parent_msg_id.size() <= engine_uuid.size() + 1 || !parent_msg_id.ends_with(engine_uuid)) {
    return std::nullopt;
  }
  parent_msg_id.remove_suffix(engine_uuid.size());
  if (parent_msg_id.back() != '_') {
    return std::nullopt;
  }
  parent_msg_id.remove_suffix(1);
  return std::string(parent_msg_id);
}

/// Metadata that end with `"broadcast_targets": [[uuid, id], ...]`.
std::string with_targets(const Json& metadata, const std::vector<BroadcastTarget>& targets) {
  std::string out = dump_json(metadata);
  out.pop_back();
  out += ", \"broadcast_targets\": [";
  for (const auto& target : targets) {
    out += &target == targets.data() ? "[" : ", [";
    append_json_string(out, target.uuid);
    out += ", " + std::to_string(target.id.value) + "]";
  }
  out += "]}";
  return out;
}

}  // namespace

BroadcastReactor::BroadcastReactor(
    const NetLimits& limits, const Signer& signer, SeenSignatures& seen, HubMailbox& hub, Log& log)
    : log_(log),
      signer_(signer),
      hub_(hub),
      session_(new_session_id(), user_name(), signer),
      clients_(loop_, "broadcast", ZmtpRouter::Options::with("sub_scheduler_0", limits), log),
      engines_(loop_,
               "broadcast for engines",
               ZmtpRouter::Options::with("sub_scheduler_0", limits),
               log),
      commands_(mailbox_capacity, [this] { wakeup_.signal(); }),
      outbox_(
          engines_,
          [this](const std::string& uuid, const std::string& msg_id, const Message& /*request*/) {
            undeliverable_.push_back({.original_msg_id = msg_id, .engine_uuid = uuid});
          }),
      writer_(signer),
      replays_(seen),
      rejections_(log, "broadcast") {}

void BroadcastReactor::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    now_ = steady_now();
    loop_.wait(now_, std::min({outbox_.next_deadline(now_), hub_.next_deadline(),
                               clients_.next_deadline(), engines_.next_deadline()}));
    now_ = steady_now();
    wakeup_.take();
    take_commands();  // an engine that a client knows must be known here, too
    receive_replies();
    receive_requests();
    retry();
    routes_.look_around(now_);
    clients_.check_deadlines(now_);
    engines_.check_deadlines(now_);
    board_.write({.clients = clients_.traffic(),
                  .engines = engines_.traffic(),
                  .rejected = rejections_.counts(),
                  .open = machine_.open_calls(),
                  .open_bytes = machine_.open_bytes(),
                  .finished = finished_,
                  .failed = failed_});
    hub_.flush(now_);  // first: who has an answer may ask the hub about it at once
    engines_.flush();
    clients_.flush();
  }
}

void BroadcastReactor::retry() {
  if (outbox_.next_deadline(now_) == TimePoint::never()) {
    return;
  }
  outbox_.retry(now_);
  for (auto& leg : std::exchange(undeliverable_, {})) {
    step(std::move(leg));
  }
}

void BroadcastReactor::take_commands() {
  commands_.take(taken_);
  for (auto& command : taken_) {
    if (auto* announced = std::get_if<EngineAnnounced>(&command)) {
      step(EngineJoined{.uuid = std::move(announced->uuid)});
    } else if (auto* retired = std::get_if<EngineRetired>(&command)) {
      outbox_.forget(retired->uuid);
      step(EngineLeft{.uuid = std::move(retired->uuid)});
    }
  }
  taken_.clear();
}

void BroadcastReactor::receive_requests() {
  while (auto frames = clients_.receive()) {
    auto request = accept_message(*frames, signer_, replays_);
    if (!request || request->identity_count() < 1) {
      rejections_.note(now_, "a request",
                       request ? Error{ErrorCode::malformed, "no identity"} : request.error(),
                       clients_.peer_address((*frames)[0]));
      continue;
    }
    submit(std::move(*request));
  }
}

void BroadcastReactor::submit(Message request) {
  const auto header = reader_.read_header(request);
  if (!header) {
    rejections_.note(now_, "a request", header.error(), clients_.peer_address(request.identity(0)));
    return;
  }
  routes_.spoke(request.identity(0), header->session);
  auto metadata = parse_json_object(request.metadata(), "metadata");
  auto call =
      metadata ? read_metadata(*metadata) : Result<BroadcastMetadata>(unexpected(metadata.error()));
  if (!call) {
    refuse(request, header->msg_type, call.error());
    return;
  }
  if (const auto prepared = writer_.prepare(request, std::move(*metadata)); !prepared) {
    refuse(request, header->msg_type, prepared.error());
    return;
  }
  step(BroadcastSubmitted{.msg_id = std::string(header->msg_id),
                          .coalescing = call->coalescing,
                          .targets = std::move(call->targets),
                          .request = std::move(request)});
}

/// The sender has the key, so it gets to know what is wrong; unless its header cannot be echoed.
void BroadcastReactor::refuse(const Message& request,
                              std::string_view msg_type,
                              const Error& error) {
  rejections_.note(now_, "a request", error, clients_.peer_address(request.identity(0)));
  if (!parse_json_object(request.header(), "header")) {
    return;
  }
  const std::array<std::string_view, 1> route{request.identity(0)};
  const std::string content =
      error_content({"TypeError", "broadcast " + printable(msg_type) + ": " + error.message});
  clients_.send(session_.make({.type = "apply_reply",
                               .parent = request.header(),
                               .metadata = R"({"status": "error"})",
                               .content = content,
                               .identities = route},
                              wall_now()));
}

void BroadcastReactor::send_again() {
  for (const std::string& engine : engines_.take_named()) {
    if (!outbox_.is_back(engine)) {
      continue;
    }
    for (const auto& leg : machine_.unanswered_at(engine)) {
      const bool prepared = writer_.prepare(leg.request).has_value();
      IPF_CHECK(prepared);  // submit() has refused all others
      writer_.set_coalesced(leg.coalesced);
      outbox_.send(now_, engine, leg.msg_id, writer_.write(leg.target));
    }
  }
}

void BroadcastReactor::receive_replies() {
  send_again();
  while (auto frames = engines_.receive()) {
    auto reply = verify_message(*frames, signer_);
    if (!reply || reply->identity_count() < 1) {
      rejections_.note(now_, "a reply",
                       reply ? Error{ErrorCode::malformed, "no identity"} : reply.error(),
                       engines_.peer_address((*frames)[0]));
      continue;
    }
    take_reply(std::move(*reply));
  }
}

void BroadcastReactor::take_reply(Message reply) {
  const auto parent = reader_.read_parent(reply);
  if (!parent) {
    rejections_.note(now_, "a reply", parent.error(), engines_.peer_address(reply.identity(0)));
    return;
  }
  auto msg_id = call_of(parent->msg_id, reply.identity(0));
  if (!msg_id) {
    rejections_.note(now_, "a reply",
                     {ErrorCode::malformed, "its parent is no leg of the engine that sent it"},
                     engines_.peer_address(reply.identity(0)));
    return;
  }
  if (signer_.refuses_dates() && !machine_.is_open(*msg_id)) {
    return take_earlier(std::move(reply), *msg_id, std::string(parent->session));
  }
  const auto metadata = reader_.read_reply_metadata(reply).value_or(ReplyMetadata{});
  std::string engine(reply.identity(0));
  step(BroadcastReplied{.original_msg_id = std::move(*msg_id),
                        .engine_uuid = std::move(engine),
                        .succeeded = metadata.status == "ok",
                        .reply = std::move(reply)});
}

void BroadcastReactor::take_earlier(Message reply,
                                    const std::string& msg_id,
                                    const std::string& session) {
  if (const auto leg = CoalescedLeg::read(reply)) {
    return fail_earlier(*leg, session);
  }
  routes_.send_elsewhere(now_, session, {}, reply.frames(), reply.identity_count());
  std::string engine(reply.identity(0));
  std::string leg_id = LegWriter::msg_id(msg_id, engine);
  note_reply(std::move(leg_id), std::move(engine), std::move(reply));
}

void BroadcastReactor::fail_earlier(const CoalescedLeg& leg, const std::string& session) {
  if (failed_earlier_.size() >= failed_earlier_max || !failed_earlier_.insert(leg.msg_id).second) {
    return;
  }
  const std::string header = leg.call_header();
  const std::string content =
      error_content({"EngineError",
                     "the controller was restarted while it collected the results of this "
                     "broadcast; some are lost"});
  const Frames answer = session_.make({.type = "apply_reply",
                                       .parent = header,
                                       .metadata = R"({"status": "error"})",
                                       .content = content},
                                      wall_now());
  routes_.send_elsewhere(now_, session, {}, answer, 0);
  note_reply(leg.msg_id, {}, *Message::split(answer));
}

void BroadcastReactor::send_to_client(const Message& request,
                                      const Frames& frames,
                                      std::size_t from) {
  const std::array<std::string_view, 1> route{request.identity(0)};
  if (clients_.send(route, frames, from) == SendResult::sent) {
    return;
  }
  if (const auto header = reader_.read_header(request)) {
    routes_.send_elsewhere(now_, header->session, {}, frames, from);
  }
}

void BroadcastReactor::step(BroadcastEvent event) {
  machine_.step(std::move(event), actions_);
  for (auto& action : actions_) {
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  actions_.clear();
}

void BroadcastReactor::note_request(std::string msg_id, std::string engine_uuid, Message request) {
  hub_.events().emplace_back(RequestSeen{.queue = TaskQueue::broadcast,
                                         .msg_id = std::move(msg_id),
                                         .engine_uuid = std::move(engine_uuid),
                                         .request = std::move(request)});
}

void BroadcastReactor::note_reply(std::string msg_id, std::string engine_uuid, Message reply) {
  hub_.events().emplace_back(ReplySeen{.queue = TaskQueue::broadcast,
                                       .msg_id = std::move(msg_id),
                                       .engine_uuid = std::move(engine_uuid),
                                       .reply = std::move(reply)});
}

void BroadcastReactor::perform(NoteCall& action) {
  note_request(std::move(action.msg_id), {}, std::move(action.request));
}

void BroadcastReactor::perform(SendLegs& action) {
  const bool prepared = writer_.prepare(action.request).has_value();
  IPF_CHECK(prepared);  // submit() has refused all others
  writer_.set_coalesced(action.coalescing ? action.targets->size() : 0);
  for (const auto& target : *action.targets) {
    Message leg = writer_.write(target);
    outbox_.send(now_, target.uuid, action.msg_id, leg);
    if (!action.coalescing) {
      note_request(LegWriter::msg_id(action.msg_id, target.uuid), target.uuid, std::move(leg));
    }
  }
}

void BroadcastReactor::perform(ForwardLeg& action) {
  ++finished_;
  send_to_client(action.request, action.reply.frames(), action.reply.identity_count());
  note_reply(LegWriter::msg_id(action.msg_id, action.engine_uuid), action.engine_uuid,
             std::move(action.reply));
}

void BroadcastReactor::perform(FailLeg& action) {
  ++failed_;
  const bool prepared = writer_.prepare(action.request).has_value();
  IPF_CHECK(prepared);
  writer_.set_coalesced(0);
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  const std::string parent = writer_.header(action.target);
  const std::string metadata = dump_json({{"status", "error"},
                                          {"engine", action.target.uuid},
                                          {"is_broadcast", true},
                                          {"is_coalescing", false},
                                          {"original_msg_id", action.msg_id}});
  const std::string content = error_content(action.failure);
  const Frames answer = session_.make({.type = "apply_reply",
                                       .parent = parent,
                                       .metadata = metadata,
                                       .content = content,
                                       .identities = route},
                                      wall_now());
  send_to_client(action.request, answer, 1);
  std::string leg_id = LegWriter::msg_id(action.msg_id, action.target.uuid);
  note_request(leg_id, action.target.uuid, writer_.write(action.target));
  note_reply(std::move(leg_id), action.target.uuid, *Message::split(answer));
}

void BroadcastReactor::perform(SendCoalesced& action) {
  ++(action.failure ? failed_ : finished_);
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  Json metadata = Json::object();
  std::string content = "{\"status\": \"ok\"}";
  std::string type = "apply_reply";
  if (!action.replies.empty()) {
    const Message& model = action.replies[action.failed_reply.value_or(action.replies.size() - 1)];
    metadata = parse_json_object(model.metadata(), "metadata").value_or(Json::object());
    content = model.content();
    if (const auto header = reader_.read_header(model)) {
      type = header->msg_type;
    }
  }
  if (action.failure) {
    content = error_content(*action.failure);
    metadata["status"] = "error";
  }
  metadata["is_broadcast"] = true;
  metadata["is_coalescing"] = true;
  metadata["original_msg_id"] = action.msg_id;
  metadata.erase("broadcast_targets");
  std::vector<SharedBytes> buffers;
  if (!action.failure && !action.failed_reply) {
    for (const Message& reply : action.replies) {
      for (std::size_t i = reply.first_buffer(); i < reply.frames().size(); ++i) {
        buffers.push_back(reply.frames().shared(i));
      }
    }
  }
  const std::string metadata_text = with_targets(metadata, *action.targets);
  const Frames answer = session_.make({.type = type,
                                       .parent = action.request.header(),
                                       .metadata = metadata_text,
                                       .content = content,
                                       .identities = route,
                                       .buffers = buffers},
                                      wall_now());
  if (action.tell_client) {
    send_to_client(action.request, answer, 1);
  }
  note_reply(std::move(action.msg_id), {}, *Message::split(answer));
}

void BroadcastReactor::perform(TaskLog& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf
