#pragma once

#include <memory>
#include <string>
#include <vector>

#include "launcher/launcher.hpp"
#include "launcher/process_table.hpp"

namespace ipf {

/// Runs the controller or a whole set of engines as one job of mpiexec, a child of this process;
/// the engines' ids are their ranks. Settings: mpi_cmd, mpi_args.
class MpiLauncher final : public Launcher {
 public:
  MpiLauncher(LauncherRole role,
              LaunchOptions options,
              std::vector<std::string> mpi_cmd,
              std::vector<std::string> mpi_args);

  [[nodiscard]] std::string class_name() const override;
  Result<void> start(int engines) override;
  void poll(std::vector<LaunchExit>& ended) override;
  bool running() override;
  /// mpiexec passes on SIGUSR1 and SIGUSR2 only; SIGINT ends the job.
  [[nodiscard]] bool can_signal(int number, std::optional<int> index) const override;
  using Launcher::signal;
  Result<void> signal(int number, std::optional<int> index) override;
  using Launcher::stop;
  Result<void> stop(StopLevel level, std::optional<int> index) override;
  [[nodiscard]] LauncherState state() const override;
  Result<void> restore(const std::string& state_json) override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  [[nodiscard]] Unexpected no_single_engine() const;

  LauncherRole role_;
  LaunchOptions options_;
  std::vector<std::string> mpi_cmd_;
  std::vector<std::string> mpi_args_;
  ProcessTable table_{};
  int engines_{};
};

Result<std::unique_ptr<Launcher>> make_mpi_launcher(LauncherRole role, LaunchOptions options);

}  // namespace ipf
