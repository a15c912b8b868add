#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "protocol/json_text.hpp"

/// What `ipcluster top` shows. Pure: replies in, figures and rates out.
namespace ipf::top {

/// What an engine says of its process (usage_reply).
struct EngineUsage {
  std::string host{};
  std::int64_t pid{};
  double cpu_percent{};
  std::uint64_t resident_bytes{};
};

struct EngineFigures {
  int id{};
  std::uint64_t queue{};      ///< direct calls that have no result yet
  std::uint64_t tasks{};      ///< likewise, given to it by the task scheduler
  std::uint64_t completed{};  ///< both, since it registered
  std::optional<EngineUsage> usage{};
};

struct QueueFigures {
  std::string name{};
  std::uint64_t waiting{};
  std::uint64_t running{};
  std::uint64_t open{};
  std::uint64_t finished{};
  std::uint64_t failed{};
  std::uint64_t bytes_in{};
  std::uint64_t bytes_out{};
};

/// What our controller says of itself (status_reply); ipyparallel's does not know the question.
struct ControllerFigures {
  double uptime_seconds{};
  double cpu_seconds{};
  std::uint64_t resident_bytes{};
  std::uint64_t pending{};
  std::vector<QueueFigures> queues{};  ///< of calls: task, mux, control, broadcast
};

/// One look at a cluster.
struct Snapshot {
  TimePoint at{};
  WallTime wall{};
  std::vector<EngineFigures> engines{};  ///< by rising id
  std::uint64_t unassigned{};
  std::optional<ControllerFigures> controller{};
};

/// Reads a queue_reply and, unless it is null, a status_reply. What is missing counts as 0; a reply
/// of another shape is `malformed`.
Result<Snapshot> read_snapshot(const Json& queue_reply, const Json& status_reply);

/// Nothing when the reply holds no usage.
std::optional<EngineUsage> read_usage(const Json& usage_reply);

/// Per second, between two looks. A counter that went down (a new controller, another engine under
/// the id) counts from 0.
struct Rates {
  double calls{};  ///< completed, of all engines
  std::map<int, double> by_engine{};
  double controller_cpu_percent{};
  double bytes_in{};
  double bytes_out{};
};
Rates rates_between(const Snapshot& before, const Snapshot& now);

}  // namespace ipf::top
