#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sim/sim_controller.hpp"
#include "sim/sim_engine.hpp"
#include "sim/world.hpp"

namespace ipf::sim {

struct SimReport {
  bool passed{false};
  std::string failure{};  ///< what was wrong, then the last events
  std::uint64_t digest{};
  std::uint64_t steps{};
  std::uint32_t tasks{};
  std::uint32_t succeeded{};
  std::uint32_t lost{};  ///< by restarts of the controller
  double seconds{};      ///< of simulated time
};

/// One run: a cluster, its clients, its faults and its end. Deterministic: the same options give
/// the same digest.
///
/// Clients submit their tasks, faults happen; when both are over the run drains: no more faults,
/// the frozen wake up, two engines join that can run everything. Then each task must end.
class Simulation final : public Actor {
 public:
  explicit Simulation(const SimOptions& options);

  /// Never throws for a broken machine; a broken invariant ends the process (core/check.hpp).
  SimReport run();

  // For scenarios that are written down: each moves the clock on.
  /// Runs until this much time has passed.
  void pass(Duration time);
  /// Submits a task now and gives its number.
  std::uint32_t submit(TaskPlan plan = {});
  SimEngine& add_engine(bool faultless = false);
  void restart_controller();
  /// No more faults; runs until everything has ended and checks that it did.
  void drain();

  [[nodiscard]] World& world() { return world_; }
  [[nodiscard]] SimController& controller() { return controller_; }
  [[nodiscard]] TaskChecker::Ending ending(std::uint32_t task) const {
    return controller_.task_checker().ending(task);
  }
  /// Answers that the client got.
  [[nodiscard]] std::uint32_t answers(std::uint32_t task) const;

  void wake(std::uint64_t token) override;

 private:
  enum class Cue : std::uint8_t { burst, fault, query, start, thaw };
  enum class Fault : std::uint8_t { crash, freeze, leave, join, restart };
  struct Client {
    std::unique_ptr<Path<std::uint32_t>> requests{};
    std::unique_ptr<Path<std::uint32_t>> answers{};
    std::uint32_t left{};  ///< tasks that it is going to submit
  };

  void start();
  void plan_faults();
  void submit_burst(std::uint32_t client);
  void send(std::uint32_t task);
  void got_answer(std::uint32_t task);
  void send_unanswered();
  void repeat_unanswered();
  void happen(Fault fault);
  void engine_ended();
  SimEngine* pick_engine();
  bool step_until(TimePoint limit, const std::function<bool()>& done);
  [[nodiscard]] bool all_over() const;
  void check_end();
  [[nodiscard]] SimReport report(std::string failure);

  World world_;
  std::vector<std::unique_ptr<SimEngine>> engines_;
  std::vector<Client> clients_;
  SimController controller_;
  std::vector<std::uint32_t> answers_;  ///< by task
  std::vector<bool> replies_lost_;      ///< under way to the client when the controller was killed
  std::vector<Fault> faults_;
  std::uint32_t faults_left_{};
  bool draining_{false};
};

}  // namespace ipf::sim
