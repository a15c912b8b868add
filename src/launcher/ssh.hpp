#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "launcher/launcher.hpp"
#include "launcher/remote_host.hpp"

namespace ipf {

/// What a user can set for programs on other hosts.
struct SshSettings {
  std::vector<std::string> ssh_cmd{"ssh"};
  std::vector<std::string> ssh_args{};
  std::string user{};
  std::string remote_python{};
  std::string remote_profile_dir{};  ///< empty: a directory that is made and removed
  nlohmann::json to_send = nlohmann::json::array();
};

/// The programs of one launcher on one host.
struct SshPart {
  std::string host{};  ///< "user@host:port"
  int programs{1};
  int engines_each{1};  ///< how many engines one program stands for
  std::vector<std::string> command{};
  std::vector<std::string> args{};
};

/// Starts the controller, or engines on a list of hosts, over ssh: one connection to each host, all
/// hosts at the same time. Connection files go there and come back over ssh itself. The end of a
/// program's log is copied to the log directory here when it ends.
///
/// A lost connection ends nothing: it is made again (after 1 s, then at longer intervals up to a
/// minute), and finds the programs by their pids.
class SshLauncher final : public Launcher {
 public:
  SshLauncher(LauncherRole role,
              std::string prefix,
              std::string kind,
              LaunchOptions options,
              SshSettings settings,
              std::vector<SshPart> parts);

  [[nodiscard]] std::string class_name() const override;
  Result<void> start(int engines) override;
  void poll(std::vector<LaunchExit>& ended) override;
  [[nodiscard]] Duration poll_step() const override;
  bool running() override;
  [[nodiscard]] bool can_signal(int number, std::optional<int> index) const override;
  using Launcher::signal;
  Result<void> signal(int number, std::optional<int> index) override;
  using Launcher::stop;
  Result<void> stop(StopLevel level, std::optional<int> index) override;
  [[nodiscard]] LauncherState state() const override;
  Result<void> restore(const std::string& state_json) override;
  [[nodiscard]] std::vector<std::filesystem::path> output_files() const override;

 private:
  struct Program {
    int index{};
    int engines{1};
    int pid{};
    bool ended{};
    std::string log{};    ///< lines that arrived for it
    int wanted_signal{};  ///< asked for before the pid was known
  };
  struct Host {
    SshPart part{};
    std::unique_ptr<RemoteHost> connection{};
    std::string directory{};
    std::vector<Program> programs{};
    TimePoint reconnect_at{};
    int attempts{};
    bool lost{};
  };

  [[nodiscard]] std::unique_ptr<RemoteHost> connection_to(const std::string& host) const;
  Result<void> start_on(Host& host);
  Result<void> send_files(Host& host) const;
  [[nodiscard]] std::vector<std::string> command_of(const SshPart& part) const;
  [[nodiscard]] std::filesystem::path log_of(int index) const;
  void reconnect(Host& host, std::vector<LaunchExit>& ended);
  void handle(Host& host, const RemoteEvent& event, std::vector<LaunchExit>& ended);
  void handle_lost(Host& host, const RemoteEvent& event, std::vector<LaunchExit>& ended);
  void end(Program& program, int number, std::string detail, std::vector<LaunchExit>& ended) const;
  void save_fetched(const std::string& name);
  template <class Action>
  Result<void> for_each(std::optional<int> index, Action action);

  LauncherRole role_;
  std::string prefix_;
  std::string kind_;
  LaunchOptions options_;
  SshSettings settings_;
  std::vector<SshPart> parts_;
  std::vector<Host> hosts_{};
  std::map<std::string, std::string> fetched_{};
  bool killed_{};
};

Result<std::unique_ptr<Launcher>> make_ssh_launcher(LauncherRole role, LaunchOptions options);
/// Engines by way of `ipcluster engines` on one host that shares the files of the profile.
Result<std::unique_ptr<Launcher>> make_ssh_proxy_launcher(LauncherRole role, LaunchOptions options);

}  // namespace ipf
