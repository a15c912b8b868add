#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/broadcast_events.hpp"

namespace ipf {

/// Bounds of what is open at once; a call beyond them is answered with an error.
struct BroadcastOptions {
  std::size_t calls_max{100'000};
  std::size_t legs_max{4'000'000};
  std::size_t bytes_max{4UL << 30U};  ///< of requests, and of the replies that coalescing collects
};

/// Fans one request out to many engines and brings their replies back (protocol.md 6). Pure; one
/// thread calls step().
///
/// Inside one process a tree of schedulers is no end in itself: there is one node, which is depth 0
/// of the reference's tree; the engine file lists one leaf.
///
/// | a leg is | from                    | until                                                |
/// |----------|-------------------------|------------------------------------------------------|
/// | open     | BroadcastSubmitted      | its engine's reply; LegUndeliverable; EngineLeft     |
/// | ended    | that, or unknown engine | the call ends with its last leg                      |
///
/// A plain call forwards each reply as it comes. A coalescing call keeps the replies and answers
/// once, in target order.
///
/// Costs: O(1) a leg (O(log legs) to find it); an engine that leaves costs O(its open legs).
///
/// Invariants: an open call has an open leg; each open leg is in the list of its engine, which is
/// here; the bounds hold.
class BroadcastMachine {
 public:
  explicit BroadcastMachine(const BroadcastOptions& options = {}) : options_(options) {}
  BroadcastMachine(const BroadcastMachine&) = delete;
  BroadcastMachine& operator=(const BroadcastMachine&) = delete;

  void step(BroadcastEvent event, BroadcastActions& actions);
  void check_invariants() const;
  /// A leg that its engine has not answered.
  struct OpenLeg {
    std::string msg_id{};     ///< of the call
    std::size_t coalesced{};  ///< how many legs a coalescing call has been sent as; 0: a plain one
    BroadcastTarget target{};
    Message request;
  };
  /// All of this engine, oldest first.
  [[nodiscard]] std::vector<OpenLeg> unanswered_at(const std::string& engine_uuid) const;
  [[nodiscard]] bool is_open(const std::string& msg_id) const { return calls_.contains(msg_id); }
  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }
  [[nodiscard]] std::size_t open_bytes() const { return bytes_; }
  [[nodiscard]] std::size_t open_legs() const { return legs_; }

 private:
  struct Leg;
  struct Engine {
    Leg* first{nullptr};  ///< open legs, oldest first
    Leg* last{nullptr};
  };
  struct Call;
  using Calls = std::unordered_map<std::string, Call>;
  using Engines = std::unordered_map<std::string, Engine>;
  /// In the list of its engine while it is open; `engine` is null afterwards.
  struct Leg {
    Calls::value_type* call{nullptr};
    Engine* engine{nullptr};
    Leg* previous{nullptr};
    Leg* next{nullptr};
    std::optional<Message> reply{};
    bool succeeded{false};
  };
  struct Call {
    Message request;
    bool coalescing{false};
    BroadcastTargets targets{};
    std::vector<Leg> legs{};  ///< one a target, in their order; never resized
    std::vector<std::pair<const Engine*, std::uint32_t>> by_engine{};  ///< sorted, to find a leg
    std::size_t open_legs{};
    std::size_t bytes{};
    std::optional<RemoteFailure> failure{};
    bool tell_client{true};
  };

  void on(BroadcastSubmitted& event, BroadcastActions& actions);
  void on(BroadcastReplied& event, BroadcastActions& actions);
  void on(LegUndeliverable& event, BroadcastActions& actions);
  void on(EngineJoined& event, BroadcastActions& actions);
  void on(EngineLeft& event, BroadcastActions& actions);

  [[nodiscard]] bool has_room(const BroadcastSubmitted& event) const;
  static void refuse(BroadcastSubmitted& event, BroadcastActions& actions);
  void open(Calls::value_type& call, BroadcastActions& actions);
  Leg* find_open(const std::string& msg_id, const std::string& engine_uuid);
  void close(Leg& leg);
  void lose(Leg& leg, const std::string& why, BroadcastActions* tell_client);
  static const BroadcastTarget& target_of(const Leg& leg);
  void end_if_complete(Calls::value_type& call, BroadcastActions& actions);

  const BroadcastOptions options_;
  Engines engines_;
  Calls calls_;
  std::size_t legs_{};
  std::size_t bytes_{};
};

}  // namespace ipf
