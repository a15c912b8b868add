#include "controller/pair_relay.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "protocol/json_text.hpp"

namespace ipf {

namespace {

/// In place of a client's identity in requests of the controller's own.
constexpr std::string_view own_requests = "ipyfleet-controller";

/// Requests that every engine answers: only of these can be told that they were lost.
constexpr std::array<std::string_view, 2> answered_by_shells{"apply_request", "execute_request"};
constexpr std::array<std::string_view, 8> answered_controls{
    "abort_request",     "cancel_request",      "clear_request",    "debug_request",
    "interrupt_request", "kernel_info_request", "shutdown_request", "usage_request"};

std::string reply_type(std::string_view request_type) {
  constexpr std::string_view suffix = "_request";
  if (request_type.ends_with(suffix)) {
    request_type.remove_suffix(suffix.size());
  }
  return std::string(request_type) + "_reply";
}

}  // namespace

PairRelay::PairRelay(IoLoop& loop,
                     const Signer& signer,
                     SeenSignatures& seen,
                     Options options,
                     Session& session,
                     Log& log)
    : signer_(signer),
      options_(std::move(options)),
      session_(session),
      clients_(
          loop, options_.name, ZmtpRouter::Options::with(options_.name + "_in", options_.net), log),
      engines_(loop,
               options_.name + " for engines",
               ZmtpRouter::Options::with(options_.name + "_out", options_.net),
               log),
      outbox_(
          engines_,
          [this](
              const std::string& /*uuid*/, const std::string& /*msg_id*/, const Message& request) {
            const auto header = reader_.read_header(request);
            if (header) {
              open_.close(header->msg_id, request.identity(1));
              answer_unknown(request, header->msg_type);
            }
          }),
      open_(options_.open),
      replays_(seen),
      rejections_(log, options_.name) {}

void PairRelay::engine_announced(const std::string& uuid) {
  known_.insert(uuid);
  std::erase_if(retired_, [&](const auto& entry) { return entry.second == uuid; });
}

void PairRelay::engine_retired(TimePoint now, const std::string& uuid) {
  constexpr Duration on_the_way = std::chrono::seconds(2);  // replies that it sent before it ended
  known_.erase(uuid);
  outbox_.forget(uuid);
  retired_.emplace_back(now + on_the_way, uuid);
}

void PairRelay::forget_retired(TimePoint now) {
  while (!retired_.empty() && retired_.front().first <= now) {
    open_.forget(retired_.front().second);
    retired_.pop_front();
  }
}

void PairRelay::receive_requests(TimePoint now, std::vector<HubEvent>& to_hub) {
  forget_retired(now);
  while (auto frames = clients_.receive()) {
    auto message = accept_message(*frames, signer_, replays_);
    if (!message || message->identity_count() < 2) {
      rejections_.note(
          now, "a request",
          message ? Error{ErrorCode::malformed, "it names no engine"} : message.error(),
          clients_.peer_address((*frames)[0]));
    } else {
      route(now, std::move(*message), to_hub);
    }
  }
}

void PairRelay::route(TimePoint now, Message request, std::vector<HubEvent>& to_hub) {
  const auto header = reader_.read_header(request);
  if (!header) {
    rejections_.note(now, "a request", header.error(), clients_.peer_address(request.identity(0)));
    return;
  }
  routes_.spoke(request.identity(0), header->session);
  const std::string_view engine = request.identity(1);
  if (!known_.contains(engine)) {
    answer_unknown(request, header->msg_type);
    return;
  }
  if (!note_open(now, request, *header)) {
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

bool PairRelay::is_always_answered(std::string_view msg_type) const {
  const auto& types = options_.recorded ? std::span<const std::string_view>(answered_by_shells)
                                        : std::span<const std::string_view>(answered_controls);
  return std::ranges::find(types, msg_type) != types.end();
}

bool PairRelay::note_open(TimePoint now, const Message& request, const HeaderView& header) {
  if (!is_always_answered(header.msg_type)) {
    return true;
  }
  switch (open_.open(header.msg_id, request.identity(1), request.frames().total_bytes(), request)) {
    case OpenRequests::Opened::yes:
      return true;
    case OpenRequests::Opened::is_open:
      rejections_.note(now, "a request",
                       {ErrorCode::malformed, "its msg_id is that of an open one"},
                       clients_.peer_address(request.identity(0)));
      return false;
    case OpenRequests::Opened::no_room:
      if (!options_.recorded) {
        return true;  // to stop what runs matters more than to survive a lost connection
      }
      break;
  }
  answer(request, header.msg_type,
         {"RuntimeError", std::to_string(open_.count()) + " direct requests of " +
                              std::to_string(open_.bytes() >> 20U) +
                              " MiB are unanswered; wait until engines have answered some"});
  return false;
}

bool PairRelay::is_awaited(const Message& reply, const HeaderView& parent) {
  const auto header = reader_.read_header(reply);
  if (!header || (header->msg_type != "apply_reply" && header->msg_type != "execute_reply")) {
    return header.has_value();
  }
  return open_.close(parent.msg_id, reply.identity(0)) ||
         (signer_.refuses_dates() && !open_.is_open(parent.msg_id));
}

void PairRelay::answer_unknown(const Message& request, std::string_view msg_type) {
  answer(request, msg_type,
         {"EngineError", "engine '" + printable(request.identity(1)) +
                             "' is not registered with this controller"});
}

void PairRelay::answer(const Message& request,
                       std::string_view msg_type,
                       const RemoteFailure& failure) {
  ++failed_;
  const std::string engine(request.identity(1));
  const std::array<std::string_view, 2> route{request.identity(0), engine};
  const std::string type = reply_type(msg_type);
  const std::string metadata = dump_json({{"status", "error"}, {"engine", engine}});
  const std::string content = error_content(failure);
  clients_.send(session_.make({.type = type,
                               .parent = request.header(),
                               .metadata = metadata,
                               .content = content,
                               .identities = route},
                              wall_now()));
}

void PairRelay::send_again(TimePoint now) {
  for (const std::string& engine : engines_.take_named()) {
    if (!outbox_.is_back(engine) || !known_.contains(engine)) {
      continue;
    }
    for (const Message& request : open_.of(engine)) {
      const auto header = reader_.read_header(request);
      outbox_.send(now, engine, header ? std::string(header->msg_id) : std::string(), request);
    }
  }
}

void PairRelay::receive_replies(TimePoint now, std::vector<HubEvent>& to_hub) {
  send_again(now);
  while (auto frames = engines_.receive()) {
    auto reply = verify_message(*frames, signer_);
    if (!reply || reply->identity_count() < 2) {
      rejections_.note(now, "a reply",
                       reply ? Error{ErrorCode::malformed, "it names no client"} : reply.error(),
                       engines_.peer_address((*frames)[0]));
      continue;
    }
    const auto parent = reader_.read_parent(*reply);
    if (!options_.recorded && parent) {
      open_.close(parent->msg_id, reply->identity(0));
    }
    if (reply->identity(1) == own_requests) {
      continue;
    }
    if (options_.recorded && (!parent || !is_awaited(*reply, *parent))) {
      rejections_.note(now, "a reply",
                       {ErrorCode::malformed, "this engine has no such request to answer"},
                       engines_.peer_address((*frames)[0]));
      continue;
    }
    ++finished_;
    const std::array<std::string_view, 2> route{reply->identity(1), reply->identity(0)};
    const bool sent =
        clients_.send(route, reply->frames(), reply->identity_count()) == SendResult::sent;
    if (!sent && parent) {
      routes_.send_elsewhere(now, parent->session, std::span(route).subspan(1), reply->frames(),
                             reply->identity_count());
    }
    if (options_.recorded && parent) {
      std::string msg_id(parent->msg_id);
      std::string engine(reply->identity(0));
      to_hub.emplace_back(ReplySeen{.queue = TaskQueue::mux,
                                    .msg_id = std::move(msg_id),
                                    .engine_uuid = std::move(engine),
                                    .reply = std::move(*reply)});
    }
  }
}

void PairRelay::request(TimePoint now,
                        const std::string& engine_uuid,
                        std::string_view msg_type,
                        std::string_view content) {
  const std::array<std::string_view, 2> route{own_requests, engine_uuid};
  auto message = Message::split(session_.make(
      {.type = msg_type, .parent = "{}", .content = content, .identities = route}, wall_now()));
  if (message) {
    if (const auto header = reader_.read_header(*message)) {
      note_open(now, *message, *header);
    }
    outbox_.send(now, engine_uuid, {}, *message);
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
  write_figures();
  engines_.flush();
  clients_.flush();
}

void PairRelay::write_figures() {
  board_.write({.clients = clients_.traffic(),
                .engines = engines_.traffic(),
                .rejected = rejections_.counts(),
                .open = open_.count(),
                .open_bytes = open_.bytes(),
                .running = open_.count(),
                .finished = finished_,
                .failed = failed_});
}

TimePoint PairRelay::next_deadline(TimePoint now) const {
  return std::min({outbox_.next_deadline(now), clients_.next_deadline(), engines_.next_deadline()});
}

}  // namespace ipf
