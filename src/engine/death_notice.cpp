#include "engine/death_notice.hpp"

#include <string>

#include "core/clock.hpp"
#include "core/text.hpp"
#include "net/socket.hpp"
#include "protocol/json_text.hpp"
#include "protocol/session.hpp"
#include "protocol/signer.hpp"

namespace ipf::engine {

namespace {

constexpr int linger_ms = 1000;

}  // namespace

void announce_death(const EngineCard& card) {
  auto signer = Signer::create(card.key, card.scheme);
  if (!signer) {
    return;
  }
  const auto curve = curve_peer({}, card.curve_serverkey);
  if (!curve) {
    return;
  }
  NetContext context(1, {.curve = *curve});
  Socket socket(context, SocketKind::dealer, {.linger_ms = linger_ms});
  if (!socket.connect(card.url)) {
    return;
  }
  Session session(new_session_id(), user_name(), *signer);
  const std::string content = dump_json({{"id", card.id.value}});
  socket.send(session.make({.type = "unregistration_request", .content = content}, wall_now()));
}

}  // namespace ipf::engine
