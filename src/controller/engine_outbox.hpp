#pragma once

#include <deque>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "core/clock.hpp"
#include "net/socket.hpp"
#include "protocol/message.hpp"

namespace ipf {

/// Sends requests to engines through a ROUTER that reports unknown destinations.
///
/// An engine is announced when its heart answers, but its shell connections are others and may
/// come a little later; libzmq would drop what is sent in between. Such messages are kept, in
/// order, and tried again until the engine's connection is there or their time is over. One thread.
class EngineOutbox {
 public:
  /// `give_up` gets a message that could not be sent in time.
  using GiveUp = std::function<void(
      const std::string& engine_uuid, const std::string& msg_id, const Message&)>;

  /// `socket` is a ROUTER: it sends frames with the engine's uuid as the first one.
  template <class Router>
  EngineOutbox(Router& socket, GiveUp give_up)
      : send_([&socket](std::span<const std::string_view> first,
                        const Frames& rest,
                        std::size_t from) { return socket.send(first, rest, from); }),
        give_up_(std::move(give_up)) {}

  /// How long a message is kept for an engine that is announced but has no connection.
  enum class Patience { some_seconds, until_forgotten };

  /// Sends `[engine, client, <IDS|MSG>, ...]`, where client is the request's first identity, if it
  /// has one.
  void send(TimePoint now,
            const std::string& engine_uuid,
            const std::string& msg_id,
            const Message& request,
            Patience patience = Patience::some_seconds);
  /// Tries what is kept again.
  void retry(TimePoint now);
  /// The engine is gone; what is kept for it is dropped.
  void forget(const std::string& engine_uuid) { kept_.erase(engine_uuid); }
  /// A connection of the engine is there. True when it is not the first one: what was sent over the
  /// one before may be lost.
  bool is_back(const std::string& engine_uuid) {
    constexpr std::size_t most = 200'000;
    if (connected_.size() >= most) {
      connected_.clear();
    }
    return !connected_.insert(engine_uuid).second;
  }
  [[nodiscard]] TimePoint next_deadline(TimePoint now) const;

 private:
  struct Kept {
    std::string msg_id{};
    Message request;
    TimePoint deadline{};
  };
  SendResult try_send(const std::string& engine_uuid, const Message& request);

  std::function<SendResult(std::span<const std::string_view>, const Frames&, std::size_t)> send_;
  GiveUp give_up_;
  std::unordered_map<std::string, std::deque<Kept>> kept_;
  std::unordered_set<std::string> connected_;
};

}  // namespace ipf
