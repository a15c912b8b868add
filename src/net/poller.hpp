#pragma once

#include <cstddef>
#include <memory>

#include "core/clock.hpp"
#include "net/socket.hpp"

namespace ipf {

/// Waits for input on sockets and file descriptors; one thread.
class Poller {
 public:
  Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;
  ~Poller();

  /// The index for ready(); the socket must outlive the poller.
  std::size_t add(const Socket& socket);
  std::size_t add_fd(int fd);

  /// Returns when something is readable or at `deadline`; TimePoint::never() waits for ever.
  void wait(TimePoint now, TimePoint deadline);
  [[nodiscard]] bool ready(std::size_t index) const;

 private:
  struct Items;
  std::unique_ptr<Items> items_;
};

}  // namespace ipf
