#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/launcher.hpp"
#include "launcher/process_table.hpp"

namespace ipf {

/// Runs the controller, or each engine, as a child process of this one: for an engine its nanny.
/// The engines themselves are started by their nannies, from scratch or by the set's fork server, a
/// child of this process, too. It ends by itself behind the last nanny; without it nannies start
/// engines from scratch. Setting `delay`: seconds between the starts of two engines.
class LocalLauncher final : public Launcher {
 public:
  LocalLauncher(LauncherRole role, LaunchOptions options, Duration delay);

  [[nodiscard]] std::string class_name() const override;
  Result<void> start(int engines) override;
  Result<void> restart(int index) override;
  void poll(std::vector<LaunchExit>& ended) override;
  [[nodiscard]] Duration poll_step() const override;
  bool running() override;
  using Launcher::signal;
  Result<void> signal(int number, std::optional<int> index) override;
  using Launcher::stop;
  Result<void> stop(StopLevel level, std::optional<int> index) override;
  [[nodiscard]] LauncherState state() const override;
  Result<void> restore(const std::string& state_json) override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  void start_fork_server();
  Result<void> start_next();

  LauncherRole role_;
  LaunchOptions options_;
  Duration delay_;
  ProcessTable table_{};
  int wanted_{};
  int started_{};
  TimePoint next_start_{};
  std::optional<Process> fork_server_{};
};

Result<std::unique_ptr<Launcher>> make_local_launcher(LauncherRole role, LaunchOptions options);

}  // namespace ipf
