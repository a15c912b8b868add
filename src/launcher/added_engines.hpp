#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/log.hpp"
#include "core/result.hpp"
#include "launcher/cluster.hpp"
#include "launcher/launcher.hpp"

namespace ipf {

/// One more set of engines for a controller that runs, or will: `ipcluster engines`.
///
/// The set ends with the cluster and stands in the cluster file, if there is one. SIGINT, SIGTERM,
/// SIGHUP and SIGQUIT stop the set alone; SIGUSR1 and SIGUSR2 go on to its engines. Uses the
/// engines' part of the options.
class AddedEngines {
 public:
  AddedEngines(ClusterOptions options, ClusterHooks hooks, Log& log);

  /// Runs until all its engines have ended. An Error if they could not be started, or if none of
  /// them stayed.
  Result<void> run();

 private:
  Result<void> start();
  void pump(Duration timeout);
  void handle_exit(const LaunchExit& exit);
  void report_registered();
  void record();
  bool stop();

  ClusterOptions options_;
  ClusterHooks hooks_;
  Log& log_;
  std::string set_id_{};
  std::unique_ptr<Launcher> engines_{};
  std::optional<SignalWatch> signals_{};
  std::uint64_t recorded_version_{};
  RegistrationLogs logs_{};
  std::optional<int> registered_before_{};
  bool cluster_known_{};  ///< there was a cluster file; when it goes, the cluster has ended
  bool ready_{};
  bool stop_requested_{};
  int ended_{};
  int failed_{};
  std::string first_end_{};
};

}  // namespace ipf
