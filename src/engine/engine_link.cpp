#include "engine/engine_link.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/check.hpp"
#include "net/address.hpp"

namespace ipf::engine {

namespace {

/// Time for the last messages to leave when the process ends.
constexpr std::chrono::milliseconds linger{250};
constexpr int linger_ms = linger.count();
/// A silent network is noticed after this time; a controller that is stopped for longer loses its
/// connections, and gets them back when it goes on.
constexpr std::chrono::milliseconds dead_after{9000};
constexpr int dead_after_ms = dead_after.count();

ZmtpConnector::Options queue_options(CurvePtr curve) {
  return {.handshake_time = std::chrono::seconds(2),
          .retry_longest = std::chrono::seconds(1),
          .probe_interval = dead_after / 3,
          .proof_time = dead_after * 2 / 3,
          .curve = std::move(curve)};
}

/// Names of the links; all that are not listed carry requests on the shell channel.
constexpr std::string_view mux_link = "mux";
constexpr std::string_view control_link = "control";
constexpr std::string_view iopub_link = "iopub";

Signer make_signer(const ConnectionInfo& info) {
  auto signer = Signer::create(info.key, info.signature_scheme);
  IPF_CHECK(signer);
  return std::move(*signer);
}

CurvePtr make_curve(const CurveKeyPair& own, const ConnectionInfo& info) {
  auto curve = curve_peer(own, info.curve_serverkey);
  IPF_CHECK(curve);
  return std::move(*curve);
}

}  // namespace

EngineLink::EngineLink(ConnectionInfo info,
                       const CurveKeyPair& curve_keys,
                       const std::string& uuid,
                       const std::string& username,
                       IoLoop& loop,
                       Log& log)
    : info_(std::move(info)),
      messages_(uuid, username, make_signer(info_), iopub_link),
      loop_(loop),
      curve_(make_curve(curve_keys, info_)),
      context_(1, {.curve = curve_}),
      queues_(loop, queue_options(curve_), log) {
  open_registration();
}

void EngineLink::open_registration() {
  registration_source_.reset();
  registration_.emplace(
      context_, SocketKind::dealer,
      SocketOptions{
          .identity = messages_.uuid(), .dead_after_ms = dead_after_ms, .linger_ms = linger_ms});
  registration_source_.emplace(loop_, *registration_);
}

Result<void> EngineLink::connect_registration() {
  return registration_->connect(registration_url());
}

void EngineLink::renew_hub_sockets() {
  open_registration();
  // The addresses were good before.
  [[maybe_unused]] const auto registration = connect_registration();
  if (is_connected()) {
    [[maybe_unused]] const auto heart = connect_heart();
  }
}

EngineLink::~EngineLink() {
  queues_.linger(linger);
}

std::string EngineLink::url(int port) const {
  return endpoint_url(info_.interface, port);
}

std::string EngineLink::registration_url() const {
  return url(info_.registration);
}

bool EngineLink::came_back() {
  const auto changes = queues_.take_changes();
  const bool mux = std::ranges::any_of(
      changes, [](const auto& change) { return change.up && change.name == mux_link; });
  return mux && std::exchange(was_up_, true);
}

bool EngineLink::is_up() const {
  return queues_.is_up(mux_link);
}

Result<void> EngineLink::connect(EngineId id) {
  set_id(id);
  const std::string& uuid = messages_.uuid();
  const auto shell = [&](std::string_view name, int port) {
    return queues_.connect(ZmtpType::router, std::string(name), url(port), uuid);
  };
  IPF_TRY(shell(mux_link, info_.mux));
  if (info_.task != 0) {
    IPF_TRY(shell("task", info_.task));
  }
  if (!info_.broadcast.empty()) {
    const auto leaf = static_cast<std::size_t>(id.value) % info_.broadcast.size();
    IPF_TRY(shell("broadcast", info_.broadcast[leaf]));
  }
  IPF_TRY(queues_.connect(ZmtpType::router, std::string(control_link), url(info_.control), uuid));
  IPF_TRY(queues_.connect(ZmtpType::pub, std::string(iopub_link), url(info_.iopub)));
  return connect_heart();
}

Result<void> EngineLink::connect_heart() {
  ping_source_.reset();
  pong_.emplace(
      context_, SocketKind::dealer,
      SocketOptions{.identity = messages_.uuid(), .dead_after_ms = dead_after_ms, .linger_ms = 0});
  IPF_TRY(pong_->connect(url(info_.hb_pong)));
  ping_.emplace(context_, SocketKind::sub,
                SocketOptions{.dead_after_ms = dead_after_ms, .linger_ms = 0});
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
  return queues_.readable() || registration_source_->pending() ||
         (ping_source_ && ping_source_->pending());
}

void EngineLink::tell_hub(std::string_view type, std::string_view content) {
  registration_->send(messages_.plain(type, content));
  registration_source_->touched();
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
    // The key may be another one than at that time.
    const Message now = signed_by(*sent, messages_.signer());
    queues_.send(identities_, now.frames(), now.identity_count());
  }
}

}  // namespace ipf::engine
