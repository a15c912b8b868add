#include "controller/pair_relay.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "protocol/error_content.hpp"

namespace ipf {

namespace {

std::string reply_type(std::string_view request_type) {
  constexpr std::string_view suffix = "_request";
  if (request_type.ends_with(suffix)) {
    request_type.remove_suffix(suffix.size());
  }
  return std::string(request_type) + "_reply";
}

}  // namespace

PairRelay::PairRelay(
    IoLoop& loop, const Signer& signer, Options options, Session& session, Log& log)
    : signer_(signer),
      options_(std::move(options)),
      session_(session),
      clients_(loop, options_.name, {.identity = options_.name + "_in"}, log),
      engines_(loop, options_.name + " for engines", {.identity = options_.name + "_out"}, log),
      outbox_(
          engines_,
          [this](
              const std::string& /*uuid*/, const std::string& /*msg_id*/, const Message& request) {
            const auto header = reader_.read_header(request);
            if (header) {
              answer_unknown(request, header->msg_type);
            }
          }),
      rejections_(log, options_.name) {}

void PairRelay::engine_retired(const std::string& uuid) {
  known_.erase(uuid);
  outbox_.forget(uuid);
}

void PairRelay::receive_requests(TimePoint now, std::vector<HubEvent>& to_hub) {
  while (auto frames = clients_.receive()) {
    auto message = accept_message(std::move(*frames), signer_, replays_);
    if (!message) {
      rejections_.note(now, "a request", message.error());
    } else if (message->identity_count() < 2) {
      rejections_.note(now, "a request", {ErrorCode::malformed, "it names no engine"});
    } else {
      route(now, std::move(*message), to_hub);
    }
  }
}

void PairRelay::route(TimePoint now, Message request, std::vector<HubEvent>& to_hub) {
  const auto header = reader_.read_header(request);
  if (!header) {
    rejections_.note(now, "a request", header.error());
    return;
  }
  routes_.spoke(request.identity(0), header->session);
  const std::string_view engine = request.identity(1);
  if (!known_.contains(engine)) {
    answer_unknown(request, header->msg_type);
    return;
  }
  std::string uuid(engine);
  std::string msg_id(header->msg_id);
  outbox_.send(now, uuid, msg_id, request);
  if (options_.recorded) {
    to_hub.emplace_back(RequestSeen{.queue = TaskQueue::mux,
                                    .msg_id = std::move(msg_id),
                                    .engine_uuid = std::move(uuid),
                                    .request = std::move(request)});
  }
}

void PairRelay::answer_unknown(const Message& request, std::string_view msg_type) {
  const std::string engine(request.identity(1));
  const std::array<std::string_view, 2> route{request.identity(0), engine};
  const std::string type = reply_type(msg_type);
  const std::string metadata = dump_json({{"status", "error"}, {"engine", engine}});
  const std::string content = error_content(
      {"EngineError", "engine '" + printable(engine) + "' is not registered with this controller"});
  clients_.send(session_.make({.type = type,
                               .parent = request.header(),
                               .metadata = metadata,
                               .content = content,
                               .identities = route},
                              wall_now()));
}

void PairRelay::receive_replies(TimePoint now, std::vector<HubEvent>& to_hub) {
  while (auto frames = engines_.receive()) {
    auto reply = verify_message(std::move(*frames), signer_);
    if (!reply || reply->identity_count() < 2) {
      rejections_.note(now, "a reply",
                       reply ? Error{ErrorCode::malformed, "it names no client"} : reply.error());
      continue;
    }
    const std::array<std::string_view, 2> route{reply->identity(1), reply->identity(0)};
    const bool sent =
        clients_.send(route, reply->frames(), reply->identity_count()) == SendResult::sent;
    if (sent && !options_.recorded) {
      continue;
    }
    if (const auto parent = reader_.read_parent(*reply)) {
      if (!sent) {
        routes_.send_elsewhere(now, parent->session, std::span(route).subspan(1), reply->frames(),
                               reply->identity_count());
      }
      if (!options_.recorded) {
        continue;
      }
      std::string msg_id(parent->msg_id);
      std::string engine(reply->identity(0));
      to_hub.emplace_back(ReplySeen{.queue = TaskQueue::mux,
                                    .msg_id = std::move(msg_id),
                                    .engine_uuid = std::move(engine),
                                    .reply = std::move(*reply)});
    }
  }
}

void PairRelay::retry(TimePoint now) {
  if (outbox_.next_deadline(now) != TimePoint::never()) {
    outbox_.retry(now);
  }
}

void PairRelay::flush(TimePoint now) {
  routes_.look_around(now);
  clients_.check_deadlines(now);
  engines_.check_deadlines(now);
  engines_.flush();
  clients_.flush();
}

TimePoint PairRelay::next_deadline(TimePoint now) const {
  return std::min({outbox_.next_deadline(now), clients_.next_deadline(), engines_.next_deadline()});
}

}  // namespace ipf
