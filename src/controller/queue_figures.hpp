#pragma once

#include <cstdint>

#include "controller/figure_board.hpp"
#include "controller/rejection_log.hpp"
#include "net/traffic.hpp"

namespace ipf {

/// What a queue has done since the start, and what it holds now. Members that a queue does not have
/// stay 0. Nothing but std::uint64_t: see FigureBoard.
struct QueueFigures {
  Traffic clients{};
  Traffic engines{};
  Rejections rejected{};
  std::uint64_t open{};           ///< requests without an answer
  std::uint64_t open_bytes{};     ///< in them; 0 where that is not counted
  std::uint64_t waiting{};        ///< tasks that wait for an engine
  std::uint64_t running{};        ///< tasks that were handed to an engine
  std::uint64_t finished{};       ///< answered by an engine
  std::uint64_t failed{};         ///< answered by the scheduler: engine died, impossible, ...
  std::uint64_t spilled_bytes{};  ///< of waiting requests, on disk
  std::uint64_t journal_open{};   ///< tasks that a restarted controller would take up
};

using QueueBoard = FigureBoard<QueueFigures>;

}  // namespace ipf
