#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "launcher/launcher.hpp"

namespace ipf {

/// Runs the controller as a child process of this one.
class LocalControllerLauncher final : public ControllerLauncher {
 public:
  explicit LocalControllerLauncher(LaunchOptions options);

  [[nodiscard]] std::string class_name() const override { return "LocalControllerLauncher"; }
  Result<void> start() override;
  void poll(std::vector<LaunchExit>& ended) override;
  bool running() override;
  void signal(int number) override;
  void stop(StopLevel level) override;
  [[nodiscard]] LauncherState state() const override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  LaunchOptions options_;
  std::filesystem::path output_file_;
  std::optional<Process> process_{};
  bool exit_reported_{};
};

/// Runs each engine as a child process of this one: its nanny. The engines themselves are started
/// by their nannies, from scratch or by the set's fork server, a child of this process, too. It
/// ends by itself behind the last nanny; without it nannies start engines from scratch.
class LocalEngineSetLauncher final : public EngineSetLauncher {
 public:
  explicit LocalEngineSetLauncher(LaunchOptions options) : options_(std::move(options)) {}

  [[nodiscard]] std::string class_name() const override { return "LocalEngineSetLauncher"; }
  Result<void> start(int engines) override;
  void poll(std::vector<LaunchExit>& ended) override;
  bool running() override;
  void signal(int number) override;
  void stop(StopLevel level) override;
  [[nodiscard]] LauncherState state() const override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  struct Engine {
    Process process;
    std::filesystem::path output_file{};
    bool exit_reported{};
  };
  [[nodiscard]] std::filesystem::path output_file(const std::string& index) const;
  void start_fork_server();

  LaunchOptions options_;
  std::vector<Engine> engines_{};
  std::optional<Process> fork_server_{};
};

}  // namespace ipf
