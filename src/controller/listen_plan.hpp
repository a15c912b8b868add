#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace ipf {

/// Ports in the order in which the controller takes them (protocol.md 1.6).
class PortPool {
 public:
  /// `10101-10110,10120`; empty text is an empty pool.
  static Result<PortPool> parse(std::string_view text);

  /// The next port, else the next one of `fallback`, else 0: a free port that the system picks.
  int take(PortPool* fallback = nullptr);
  void put_first(int port) { ports_.push_front(port); }
  [[nodiscard]] bool empty() const { return ports_.empty(); }

 private:
  std::deque<int> ports_;
};

}  // namespace ipf
