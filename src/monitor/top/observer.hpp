#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "ipyfleet/client.hpp"
#include "monitor/top/figures.hpp"

namespace ipf::top {

/// Asks a controller for its figures, connecting when needed: also again, after a failure, because
/// another controller may have taken the place of the one that ended.
class Observer {
 public:
  /// `interrupted` is asked about every 50 ms while look() waits.
  Observer(std::filesystem::path client_file, std::function<bool()> interrupted);

  /// Waits `limit` at most. Fails with the reason: no connection file, no answer; `closed` when it
  /// was interrupted.
  Result<Snapshot> look(Duration limit);

 private:
  Result<void> connect(TimePoint deadline);
  /// Fails when it is no use to wait on.
  Result<void> go_on(TimePoint deadline) const;
  Result<Json> answer(const Request& request, TimePoint deadline);
  void add_usages(Snapshot& snapshot, TimePoint deadline);

  const std::filesystem::path file_;
  const std::function<bool()> interrupted_;
  std::unique_ptr<Client> client_;
  std::filesystem::file_time_type written_{};  ///< the file that it has read
  bool knows_status_{true};                    ///< ipyparallel's controllers do not
  /// What was asked of engines, by uuid; of a frozen one the question stays open, and no other is
  /// sent behind it.
  std::map<std::string, Request> asked_;
};

}  // namespace ipf::top
