#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "scheduler/broadcast_machine.hpp"
#include "scheduler/open_requests.hpp"
#include "sim/sim_engine.hpp"
#include "sim/world.hpp"

namespace ipf::sim {

/// What clients send to engines that they name: broadcast calls through the production
/// BroadcastMachine and direct messages through the table of the mux queue, OpenRequests. Engines
/// answer legs and messages after random times, in any order, may answer twice, or end.
///
/// Checked: each leg goes to an engine that is here and ends once, by a reply, by an error whose
/// reason is true, or with its engine; a coalescing call has one answer with the replies in target
/// order; machine and table count as the tables here do; at the end nothing is open.
class DirectLane final : public Actor {
 public:
  DirectLane(World& world, std::function<SimEngine*(std::uint32_t)> engine)
      : world_(world),
        engine_(std::move(engine)),
        broadcasts_(new BroadcastMachine),
        open_(new OpenRequests) {}

  /// A client makes a broadcast call, or sends a direct message, to some of these engines.
  void call(std::uint32_t engines);
  void joined(std::uint32_t engine);
  void left(std::uint32_t engine);
  void restart();
  void wake(std::uint64_t token) override;
  void check_idle() const;
  [[nodiscard]] std::size_t ended() const { return ended_; }

 private:
  enum class Leg : std::uint8_t { open, answered, failed, lost };
  struct Call {
    bool coalescing{false};
    std::vector<std::uint32_t> targets{};
    std::map<std::uint32_t, Leg> legs{};
    bool answered{false};

    [[nodiscard]] bool is_open() const;
  };

  void broadcast(std::uint32_t engines);
  void direct(std::uint32_t engine);
  /// Once, after a delay; not before what was sent that way earlier.
  void later(TimePoint& last, std::function<void()> what);
  void at_engine(std::uint32_t engine, const std::function<void()>& work);
  void leg_reply(std::uint32_t call, std::uint32_t engine, bool succeeded);
  void direct_reply(std::uint32_t message, std::uint32_t engine);
  void step(BroadcastEvent event);
  void see(const NoteCall& /*action*/) {}
  void see(const SendLegs& action);
  void see(const ForwardLeg& action);
  void see(const FailLeg& action);
  void see(const SendCoalesced& action);
  void see(const TaskLog& /*action*/) {}
  Call& call_of(const std::string& msg_id);
  [[noreturn]] static void fail(const std::string& msg_id, const std::string& why);

  World& world_;
  std::function<SimEngine*(std::uint32_t)> engine_;
  std::unique_ptr<BroadcastMachine> broadcasts_;
  std::unique_ptr<OpenRequests> open_;
  std::set<std::uint32_t> here_;
  std::unordered_map<std::uint32_t, Call> calls_;
  std::unordered_map<std::uint32_t, std::uint32_t>
      messages_;  ///< open direct ones, and their engine
  std::map<std::uint32_t, TimePoint> to_engine_;
  std::map<std::uint32_t, TimePoint> from_engine_;
  std::unordered_map<std::uint64_t, std::function<void()>> events_;
  std::uint64_t next_event_{};
  std::uint32_t next_call_{};
  std::optional<std::pair<std::uint32_t, std::uint32_t>>
      replied_;  ///< call and engine of this step
  std::size_t ended_{};
};

}  // namespace ipf::sim
