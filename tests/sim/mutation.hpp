#pragma once

#include <optional>

#include "hub/hub_events.hpp"
#include "scheduler/task_machine.hpp"
#include "sim/sim_options.hpp"

namespace ipf::sim {

/// Breaks a machine as a canary wants it, by changing what it is told after its checker has seen
/// it, or what it orders before the checker sees it.
class Mutation {
 public:
  explicit Mutation(const SimOptions& options) : canary_(options.canary) {}

  void options(TaskMachineOptions& options) const;
  /// False: the machine does not get it.
  bool event(TaskEvent& event);
  void actions(TaskActions& actions);
  /// False: the hub does not get it.
  bool event(const HubEvent& event);
  /// A record of this kind does not get into the journal.
  [[nodiscard]] bool forgets(char record_kind) const {
    return (canary_ == Canary::forget_returned && record_kind == 'W') ||
           (canary_ == Canary::forget_submitted && record_kind == 'S');
  }
  [[nodiscard]] bool sends_first() const { return canary_ == Canary::send_first; }
  [[nodiscard]] bool active() const { return canary_ != Canary::healthy; }

 private:
  /// The canary does its damage once only, not at its first chance.
  bool now();

  Canary canary_;
  int chances_{};
  std::optional<ForwardReply> kept_{};
};

}  // namespace ipf::sim
