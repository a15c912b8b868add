#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "scheduler/broadcast_events.hpp"

namespace ipf {

/// Fans one request out to many engines and brings their replies back (protocol.md 6). Pure; one
/// thread calls step().
///
/// Inside one process a tree of schedulers is no end in itself: there is one node, which is depth 0
/// of the reference's tree; the engine file lists one leaf.
///
/// A call is open until each of its legs has ended: by a reply of that leg's engine, or because
/// the engine is unknown or left. A plain call forwards each reply as it comes. A coalescing call
/// keeps the replies and answers once, in target order.
///
/// Invariants: an open call has an open leg; `open_at_` holds exactly the open legs; no leg is open
/// at an engine that left.
class BroadcastMachine {
 public:
  void step(BroadcastEvent event, BroadcastActions& actions);
  void check_invariants() const;
  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }

 private:
  struct Leg {
    BroadcastTarget target{};
    bool open{true};
    std::optional<Message> reply{};
    bool succeeded{false};
  };
  struct Call {
    Message request;
    bool coalescing{false};
    std::vector<Leg> legs{};
    std::size_t open_legs{};
    std::optional<RemoteFailure> failure{};
  };
  using Calls = std::unordered_map<std::string, Call>;

  void on(BroadcastSubmitted& event, BroadcastActions& actions);
  void on(BroadcastReplied& event, BroadcastActions& actions);
  void on(EngineJoined& event, BroadcastActions& actions);
  void on(EngineLeft& event, BroadcastActions& actions);

  static Leg* find_open(Call& call, const std::string& engine_uuid);
  void lose_leg(const std::string& msg_id,
                Call& call,
                Leg& leg,
                bool tell_client,
                const std::string& why,
                BroadcastActions& actions);
  void end_if_complete(Calls::iterator call, BroadcastActions& actions);

  std::unordered_set<std::string> engines_;
  Calls calls_;
  std::unordered_map<std::string, std::set<std::string>> open_at_;  ///< engine -> msg_ids
};

}  // namespace ipf
