#pragma once

#include <memory>
#include <string>

#include "net/socket.hpp"

namespace ipf {

/// Tells when a socket that connects has lost its peer and has it back: what was on its way is then
/// lost. Poll handle() for input. One thread, the socket's. Make it before the socket connects.
class ConnectionWatch {
 public:
  /// `name` is unique in the context. The watch must end before the socket.
  ConnectionWatch(NetContext& context, Socket& socket, const std::string& name);
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;
  ~ConnectionWatch();

  [[nodiscard]] void* handle() const;
  /// True once for each time that the connection came back.
  bool came_back();

 private:
  struct Monitor;
  Socket& socket_;
  std::unique_ptr<Monitor> monitor_;
  bool lost_{false};
};

}  // namespace ipf
