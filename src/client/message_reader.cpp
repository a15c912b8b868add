#include "client/message_reader.hpp"

#include <charconv>
#include <utility>

#include "protocol/json_text.hpp"

namespace ipf::client {

namespace {

using Read = MessageReader::Read;

Read nothing() {
  return std::optional<ClientEvent>();
}
Read event(ClientEvent happened) {
  return std::optional<ClientEvent>(std::move(happened));
}

std::optional<Engine> read_engine(const Json& content) {
  const auto id = content.find("id");
  Engine engine{.uuid = string_or(content, "uuid")};
  if (id == content.end() || !id->is_number_integer() || engine.uuid.empty()) {
    return std::nullopt;
  }
  engine.id = EngineId{id->get<std::int32_t>()};
  return engine;
}

Read read_engine_list(RequestNumber number, const Message& message) {
  const auto content = parse_json_object(message.content(), "connection_reply");
  if (!content) {
    return unexpected(content.error());
  }
  const auto engines = content->find("engines");
  if (string_or(*content, "status") != "ok" || engines == content->end() || !engines->is_object()) {
    return unexpected(ErrorCode::malformed, "connection_reply without engines");
  }
  EnginesListed listed{.number = number};
  for (const auto& [key, uuid] : engines->items()) {
    Engine engine;
    const auto [end, failure] =
        std::from_chars(key.data(), key.data() + key.size(), engine.id.value);
    if (failure != std::errc() || end != key.data() + key.size() || !uuid.is_string()) {
      return unexpected(ErrorCode::malformed, "connection_reply with a wrong engine");
    }
    engine.uuid = uuid.get<std::string>();
    listed.engines.push_back(std::move(engine));
  }
  return event(std::move(listed));
}

bool plain_ok(std::string_view content) {
  return content == R"({"status": "ok"})" || content == R"({"status":"ok"})";
}

}  // namespace

MessageReader::MessageReader(const Signer& signer, std::string msg_id_prefix)
    : signer_(signer), prefix_(std::move(msg_id_prefix)) {}

Result<std::optional<RequestNumber>> MessageReader::parent_number(const Message& message) {
  const auto parent = headers_.read_parent(message);
  if (!parent) {
    return unexpected(parent.error());
  }
  if (!parent->msg_id.starts_with(prefix_)) {
    return std::optional<RequestNumber>();
  }
  const std::string_view digits = parent->msg_id.substr(prefix_.size());
  RequestNumber number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size()) {
    return part_number(digits);
  }
  return std::optional<RequestNumber>(number);
}

std::optional<RequestNumber> MessageReader::part_number(std::string_view id) const {
  const auto found = broadcast_parts_.find(std::string(id));
  return found == broadcast_parts_.end() ? std::nullopt : std::optional(found->second);
}

void MessageReader::expect_broadcast(RequestNumber number,
                                     const std::vector<BroadcastPart>& parts) {
  for (const auto& part : parts) {
    std::string id = part_id(number, part.target);
    broadcast_ids_.emplace(part.number, PartId{.id = id});
    broadcast_parts_.emplace(std::move(id), part.number);
  }
}

void MessageReader::end_broadcast_part(RequestNumber part) {
  const auto found = broadcast_ids_.find(part);
  if (found == broadcast_ids_.end()) {
    return;
  }
  if (!std::exchange(found->second.half_done, true)) {
    return;
  }
  broadcast_parts_.erase(found->second.id);
  broadcast_ids_.erase(found);
}

Read MessageReader::read_reply(Channel channel, Frames frames) {
  auto message = accept_message(std::move(frames), signer_, guard_);
  if (!message) {
    return unexpected(message.error());
  }
  const auto number = parent_number(*message);
  if (!number) {
    return unexpected(number.error());
  }
  if (!number->has_value()) {
    return nothing();
  }
  if (**number >= first_own_number) {
    return channel == Channel::query ? read_engine_list(**number, *message) : nothing();
  }
  if (channel != Channel::query && channel != Channel::control) {
    return read_engine_reply(**number, std::move(*message));
  }
  return event(ReplyArrived{.number = **number, .reply = std::move(*message)});
}

Read MessageReader::read_engine_reply(RequestNumber number, Message message) {
  const auto metadata = headers_.read_reply_metadata(message);
  if (!metadata) {
    return unexpected(metadata.error());
  }
  ReplyArrived reply{.number = number,
                     .status = ReplyStatus::ok,
                     .engine_uuid = std::string(metadata->engine),
                     .output_follows = true,
                     .reply = std::move(message)};
  if (plain_ok(reply.reply.content())) {
    return event(std::move(reply));
  }
  const auto content = parse_json_object(reply.reply.content(), "content of a reply");
  if (!content) {
    return unexpected(content.error());
  }
  const std::string status = string_or(*content, "status");
  if (status == "aborted") {
    reply.status = ReplyStatus::aborted;
    reply.output_follows = false;
  } else if (status != "ok") {
    // Whoever is no engine (the task scheduler) leaves engine_info empty, and no output follows.
    const auto info = content->find("engine_info");
    reply.status = ReplyStatus::error;
    reply.output_follows = info != content->end() && info->is_object() && !info->empty();
  }
  return event(std::move(reply));
}

Read MessageReader::read_notification(Frames frames) {
  const auto message = accept_message(std::move(frames), signer_, guard_);
  if (!message) {
    return unexpected(message.error());
  }
  const auto header = headers_.read_header(*message);
  if (!header) {
    return unexpected(header.error());
  }
  if (header->msg_type == "shutdown_notification") {
    return event(ControllerShutDown{});
  }
  const bool joined = header->msg_type == "registration_notification";
  if (!joined && header->msg_type != "unregistration_notification") {
    return nothing();
  }
  const auto content = parse_json_object(message->content(), "content of a notification");
  if (!content) {
    return unexpected(content.error());
  }
  auto engine = read_engine(*content);
  if (!engine) {
    return unexpected(ErrorCode::malformed, "notification without id and uuid");
  }
  if (joined) {
    return event(EngineRegistered{std::move(*engine)});
  }
  return event(EngineUnregistered{std::move(*engine)});
}

Read MessageReader::read_output(Frames frames) {
  auto split = Message::split(frames);
  if (!split) {
    return unexpected(split.error());
  }
  // With several clients most output is not for us; that needs no signature check to be dropped.
  if (split->parent().find(prefix_) == std::string_view::npos) {
    return nothing();
  }
  auto message = accept_message(std::move(frames), signer_, guard_);
  if (!message) {
    return unexpected(message.error());
  }
  const auto number = parent_number(*message);
  if (!number) {
    return unexpected(number.error());
  }
  if (!number->has_value()) {
    return nothing();
  }
  const auto header = headers_.read_header(*message);
  if (!header) {
    return unexpected(header.error());
  }
  std::string type(header->msg_type);
  if (type != "status") {
    return event(OutputPublished{
        .number = **number, .type = std::move(type), .message = std::move(*message)});
  }
  const auto content = parse_json_object(message->content(), "content of a status");
  if (!content) {
    return unexpected(content.error());
  }
  return string_or(*content, "execution_state") == "idle" ? event(OutputEnded{**number})
                                                          : nothing();
}

}  // namespace ipf::client
