#include "engine/engine_link.hpp"

#include <chrono>
#include <utility>

#include "core/check.hpp"
#include "net/address.hpp"

namespace ipf::engine {

namespace {

/// Time for the last messages to leave when the process ends.
constexpr std::chrono::milliseconds linger{250};
constexpr int linger_ms = linger.count();

/// Names of the links; all that are not listed carry requests on the shell channel.
constexpr std::string_view control_link = "control";
constexpr std::string_view iopub_link = "iopub";

Signer make_signer(const ConnectionInfo& info) {
  auto signer = Signer::create(info.key, info.signature_scheme);
  IPF_CHECK(signer);
  return std::move(*signer);
}

}  // namespace

EngineLink::EngineLink(ConnectionInfo info,
                       const std::string& uuid,
                       const std::string& username,
                       IoLoop& loop,
                       Log& log)
    : info_(std::move(info)),
      messages_(uuid, username, make_signer(info_), iopub_link),
      loop_(loop),
      registration_(context_, SocketKind::dealer, {.identity = uuid, .linger_ms = linger_ms}),
      queues_(loop, {}, log),
      registration_source_(loop_, registration_) {}

EngineLink::~EngineLink() {
  queues_.linger(linger);
}

std::string EngineLink::url(int port) const {
  return endpoint_url(info_.interface, port);
}

std::string EngineLink::registration_url() const {
  return url(info_.registration);
}

Result<void> EngineLink::connect(EngineId id) {
  messages_.set_id(id);
  const std::string& uuid = messages_.uuid();
  const auto shell = [&](const char* name, int port) {
    return queues_.connect(ZmtpConnector::Kind::router, name, url(port), uuid);
  };
  IPF_TRY(shell("mux", info_.mux));
  if (info_.task != 0) {
    IPF_TRY(shell("task", info_.task));
  }
  if (!info_.broadcast.empty()) {
    const auto leaf = static_cast<std::size_t>(id.value) % info_.broadcast.size();
    IPF_TRY(shell("broadcast", info_.broadcast[leaf]));
  }
  IPF_TRY(queues_.connect(ZmtpConnector::Kind::router, std::string(control_link),
                          url(info_.control), uuid));
  IPF_TRY(queues_.connect(ZmtpConnector::Kind::pub, std::string(iopub_link), url(info_.iopub)));
  pong_.emplace(context_, SocketKind::dealer, SocketOptions{.identity = uuid, .linger_ms = 0});
  IPF_TRY(pong_->connect(url(info_.hb_pong)));
  ping_.emplace(context_, SocketKind::sub, SocketOptions{.linger_ms = 0});
  ping_->subscribe_all();
  ping_source_.emplace(loop_, *ping_);
  return ping_->connect(url(info_.hb_ping));
}

std::optional<EngineLink::Received> EngineLink::receive() {
  auto frames = queues_.receive();
  if (!frames) {
    return std::nullopt;
  }
  const Channel channel = (*frames)[0] == control_link ? Channel::control : Channel::shell;
  return Received{.channel = channel, .frames = std::move(*frames)};
}

bool EngineLink::pending() const {
  return queues_.readable() || registration_source_.pending() ||
         (ping_source_ && ping_source_->pending());
}

void EngineLink::tell_hub(std::string_view type, std::string_view content) {
  registration_.send(messages_.plain(type, content));
  registration_source_.touched();
}

void EngineLink::publish_status(std::string_view parent, std::string_view state) {
  queues_.send(messages_.status(parent, state));
}

void EngineLink::publish(const Published& message) {
  queues_.send(messages_.published(message));
}

Frames EngineLink::reply(const ReplyTarget& target,
                         const ReplyFacts& facts,
                         std::string_view content,
                         const Frames& buffers) {
  Frames frames = messages_.reply(target, facts, content, buffers);
  queues_.send(frames);
  return frames;
}

void EngineLink::reply_again(const Message& request, const Frames& reply) {
  identities_.clear();
  for (std::size_t i = 0; i < request.identity_count(); ++i) {
    identities_.push_back(request.identity(i));
  }
  if (const auto sent = Message::split(reply)) {
    queues_.send(identities_, reply, sent->identity_count());
  }
}

}  // namespace ipf::engine
