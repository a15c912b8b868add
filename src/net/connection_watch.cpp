#include "net/connection_watch.hpp"

#include <cstdint>
#include <cstring>

#include <zmq.h>
#include <zmq.hpp>

#include "core/check.hpp"

namespace ipf {

struct ConnectionWatch::Monitor {
  zmq::socket_t socket;
};

ConnectionWatch::ConnectionWatch(NetContext& context, Socket& socket, const std::string& name)
    : socket_(socket),
      monitor_(std::make_unique<Monitor>(Monitor{zmq::socket_t(context.get(), ZMQ_PAIR)})) {
  const std::string url = "inproc://watch-" + name;
  IPF_CHECK(zmq_socket_monitor(socket_.handle(), url.c_str(),
                               ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED) == 0);
  monitor_->socket.set(zmq::sockopt::linger, 0);
  monitor_->socket.connect(url);
}

ConnectionWatch::~ConnectionWatch() {
  zmq_socket_monitor(socket_.handle(), nullptr, 0);
}

void* ConnectionWatch::handle() const {
  return monitor_->socket.handle();
}

bool ConnectionWatch::came_back() {
  bool back = false;
  zmq::message_t part;
  // Two frames an event: u16 number and u32 value, then the address.
  while (monitor_->socket.recv(part, zmq::recv_flags::dontwait)) {
    std::uint16_t event = 0;
    if (part.size() >= sizeof event) {
      std::memcpy(&event, part.data(), sizeof event);
    }
    while (part.more()) {
      if (!monitor_->socket.recv(part, zmq::recv_flags::dontwait)) {
        break;
      }
    }
    if (event == ZMQ_EVENT_DISCONNECTED) {
      lost_ = true;
    } else if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && lost_) {
      lost_ = false;
      back = true;
    }
  }
  return back;
}

}  // namespace ipf
