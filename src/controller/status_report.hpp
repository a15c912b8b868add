#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "controller/queue_figures.hpp"
#include "core/clock.hpp"
#include "core/process_info.hpp"
#include "hub/hub_machine.hpp"
#include "hub/store.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

/// What a client that asks for the controller's figures gets, and what SIGUSR1 writes to the log.
struct StatusReport {
  Duration uptime{};
  ProcessUsage process{};
  HubFigures hub{};
  std::string_view store_name{};
  StoreFigures store{};
  std::vector<std::pair<std::string_view, QueueFigures>> queues{};
};

/// Names as the guide's troubleshooting page has them.
[[nodiscard]] Json status_json(const StatusReport& report);

}  // namespace ipf
