#include "net/poller.hpp"

#include <vector>

#include <zmq.h>

#include "core/check.hpp"
#include "net/poll_timeout.hpp"

namespace ipf {

struct Poller::Items {
  std::vector<zmq_pollitem_t> list{};
};

Poller::Poller() : items_(std::make_unique<Items>()) {}
Poller::~Poller() = default;

std::size_t Poller::add(const Socket& socket) {
  items_->list.push_back({socket.handle(), 0, ZMQ_POLLIN, 0});
  return items_->list.size() - 1;
}

std::size_t Poller::add_fd(int fd) {
  items_->list.push_back({nullptr, fd, ZMQ_POLLIN, 0});
  return items_->list.size() - 1;
}

void Poller::wait(TimePoint now, TimePoint deadline) {
  const int count = zmq_poll(items_->list.data(), static_cast<int>(items_->list.size()),
                             poll_timeout_ms(now, deadline));
  if (count < 0) {
    for (auto& item : items_->list) {
      item.revents = 0;
    }
  }
}

bool Poller::ready(std::size_t index) const {
  IPF_CHECK(index < items_->list.size());
  return (items_->list[index].revents & (ZMQ_POLLIN | ZMQ_POLLERR)) != 0;
}

}  // namespace ipf
