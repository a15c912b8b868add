#include "controller/broadcast_reactor.hpp"

#include <array>
#include <utility>

#include "core/text.hpp"

namespace ipf {

namespace {

constexpr int burst = 256;
constexpr std::size_t targets_max = 100'000;

struct BroadcastMetadata {
  bool coalescing{false};
  std::vector<BroadcastTarget> targets{};
};

Result<BroadcastMetadata> read_metadata(const Message& request) {
  const auto metadata = parse_json_object(request.metadata(), "metadata");
  if (!metadata) {
    return unexpected(metadata.error());
  }
  BroadcastMetadata out;
  out.coalescing = metadata->value("is_coalescing", Json(false)) == Json(true);
  const auto targets = metadata->find("targets");
  if (targets == metadata->end() || !targets->is_array() || targets->size() > targets_max) {
    return unexpected(ErrorCode::malformed,
                      "metadata: 'targets' must be a list of [uuid, id] pairs");
  }
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

Json target_pair(const BroadcastTarget& target) {
  return Json::array({target.uuid, target.id.value});
}

std::string leg_msg_id(std::string_view msg_id, const BroadcastTarget& target) {
  return std::string(msg_id) + "_" + target.uuid;
}

/// The client's request header with the msg_id that the client gave to this leg's future.
std::string leg_header(const Message& request, const std::string& msg_id) {
  auto header = parse_json_object(request.header(), "header").value_or(Json::object());
  header["msg_id"] = msg_id;
  return dump_json(header);
}

}  // namespace

BroadcastReactor::BroadcastReactor(NetContext& context,
                                   const Signer& signer,
                                   HubMailbox& /*hub*/,
                                   Log& log)
    : signer_(signer),
      log_(log),
      session_(new_session_id(), user_name(), signer),
      clients_(context, SocketKind::router, {.identity = "sub_scheduler_0"}),
      engines_(context, SocketKind::router, {.identity = "sub_scheduler_0", .mandatory = true}),
      commands_(mailbox_capacity, [this] { wakeup_.signal(); }),
      outbox_(
          engines_,
          [this](
              const std::string& uuid, const std::string& /*msg_id*/, const Message& /*request*/) {
            log_.warning("broadcast::engine '" + printable(uuid) + "' cannot be reached");
          }),
      rejections_(log, "broadcast") {}

void BroadcastReactor::run(const std::stop_token& stop) {
  Poller poller;
  const auto requests = poller.add(clients_);
  const auto replies = poller.add(engines_);
  const auto wakeup = poller.add_fd(wakeup_.fd());
  while (!stop.stop_requested()) {
    now_ = steady_now();
    poller.wait(now_, outbox_.next_deadline(now_));
    now_ = steady_now();
    if (poller.ready(wakeup)) {
      wakeup_.drain();
    }
    take_commands();  // an engine that a client knows must be known here, too
    if (poller.ready(replies)) {
      receive_replies();
    }
    if (poller.ready(requests)) {
      receive_requests();
    }
    outbox_.retry(now_);
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
  for (int i = 0; i < burst; ++i) {
    auto frames = clients_.receive();
    if (!frames) {
      return;
    }
    auto request = accept_message(std::move(*frames), signer_, replays_);
    if (!request || request->identity_count() < 1) {
      rejections_.note(now_, "a request",
                       request ? Error{ErrorCode::malformed, "no identity"} : request.error());
      continue;
    }
    const auto header = reader_.read_header(*request);
    auto metadata = read_metadata(*request);
    if (!header || !metadata) {
      rejections_.note(now_, "a request", header ? metadata.error() : header.error());
      continue;
    }
    // The fast reader takes some headers that make_leg() could not rewrite; such a call would hang.
    if (const auto rewritable = parse_json_object(request->header(), "header"); !rewritable) {
      rejections_.note(now_, "a request", rewritable.error());
      continue;
    }
    std::string msg_id(header->msg_id);
    step(BroadcastSubmitted{.msg_id = std::move(msg_id),
                            .coalescing = metadata->coalescing,
                            .targets = std::move(metadata->targets),
                            .request = std::move(*request)});
  }
}

void BroadcastReactor::receive_replies() {
  for (int i = 0; i < burst; ++i) {
    auto frames = engines_.receive();
    if (!frames) {
      return;
    }
    auto reply = verify_message(std::move(*frames), signer_);
    if (!reply || reply->identity_count() < 2) {
      rejections_.note(now_, "a reply",
                       reply ? Error{ErrorCode::malformed, "it names no client"} : reply.error());
      continue;
    }
    const auto metadata = parse_json_object(reply->metadata(), "metadata");
    if (!metadata) {
      rejections_.note(now_, "a reply", metadata.error());
      continue;
    }
    std::string engine(reply->identity(0));
    step(BroadcastReplied{.original_msg_id = string_or(*metadata, "original_msg_id"),
                          .engine_uuid = std::move(engine),
                          .succeeded = string_or(*metadata, "status") == "ok",
                          .reply = std::move(*reply)});
  }
}

void BroadcastReactor::step(BroadcastEvent event) {
  machine_.step(std::move(event), actions_);
  for (auto& action : actions_) {
    std::visit([this](auto& concrete) { perform(concrete); }, action);
  }
  actions_.clear();
}

std::optional<Message> BroadcastReactor::make_leg(const Message& request,
                                                  const BroadcastTarget& target) {
  auto header = parse_json_object(request.header(), "header");
  auto metadata = parse_json_object(request.metadata(), "metadata");
  if (!header || !metadata) {
    return std::nullopt;
  }
  const std::string msg_id = string_or(*header, "msg_id");
  (*header)["msg_id"] = leg_msg_id(msg_id, target);
  (*metadata)["original_msg_id"] = msg_id;
  (*metadata)["targets"] = Json::array({target_pair(target)});
  const std::string header_text = dump_json(*header);
  const std::string metadata_text = dump_json(*metadata);
  FramesBuilder builder;
  builder.add(request.identity(0));
  builder.add(delimiter);
  builder.add(signer_.sign({.header = header_text,
                            .parent = request.parent(),
                            .metadata = metadata_text,
                            .content = request.content()}));
  builder.add(header_text);
  builder.add(request.parent());
  builder.add(metadata_text);
  builder.add_from(request.frames(), request.identity_count() + 5);
  auto leg = Message::split(builder.finish());
  return leg ? std::optional(std::move(*leg)) : std::nullopt;
}

void BroadcastReactor::perform(SendLeg& action) {
  if (const auto leg = make_leg(action.request, action.target)) {
    outbox_.send(now_, action.target.uuid, action.msg_id, *leg);
  }
}

void BroadcastReactor::perform(ForwardLeg& action) {
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  clients_.send(route, action.reply.frames(), action.reply.identity_count());
}

void BroadcastReactor::perform(FailLeg& action) {
  const std::array<std::string_view, 1> route{action.request.identity(0)};
  const std::string parent = leg_header(action.request, leg_msg_id(action.msg_id, action.target));
  const std::string metadata = dump_json({{"status", "error"},
                                          {"engine", action.target.uuid},
                                          {"is_broadcast", true},
                                          {"is_coalescing", false},
                                          {"original_msg_id", action.msg_id}});
  const std::string content = error_content(action.failure);
  clients_.send(session_.make({.type = "apply_reply",
                               .parent = parent,
                               .metadata = metadata,
                               .content = content,
                               .identities = route},
                              wall_now()));
}

void BroadcastReactor::perform(SendCoalesced& action) {
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
  metadata["broadcast_targets"] = Json::array();
  for (const auto& target : action.targets) {
    metadata["broadcast_targets"].push_back(target_pair(target));
  }
  std::vector<SharedBytes> buffers;
  if (!action.failure && !action.failed_reply) {
    for (const Message& reply : action.replies) {
      for (std::size_t i = reply.first_buffer(); i < reply.frames().size(); ++i) {
        buffers.push_back(reply.frames().shared(i));
      }
    }
  }
  const std::string parent = leg_header(action.request, action.msg_id);
  const std::string metadata_text = dump_json(metadata);
  clients_.send(session_.make({.type = type,
                               .parent = parent,
                               .metadata = metadata_text,
                               .content = content,
                               .identities = route,
                               .buffers = buffers},
                              wall_now()));
}

void BroadcastReactor::perform(TaskLog& action) {
  log_.write(action.level, action.text);
}

}  // namespace ipf
