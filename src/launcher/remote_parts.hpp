#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "launcher/cluster_file.hpp"
#include "launcher/launcher.hpp"

namespace ipf {

/// What a recorded cluster has given to batch systems and other hosts, when nobody looks after it
/// any more.
class RemoteParts {
 public:
  explicit RemoteParts(const ClusterRecord& record);

  /// Asks each system; true when something runs, or when there was no answer within `limit`.
  bool run(Duration limit);

  /// Stops everything; false when something still runs `limit` after a graceful stop and a kill.
  bool stop(Duration limit, Log& log);

 private:
  bool poll();
  std::vector<std::unique_ptr<Launcher>> launchers_{};
  std::string failure_{};  ///< why a part could not be taken over
};

}  // namespace ipf
