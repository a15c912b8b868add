#include "net/poller.hpp"

#include <algorithm>
#include <vector>

#include <zmq.h>

#include "core/check.hpp"

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

std::size_t Poller::add(const ConnectionWatch& watch) {
  items_->list.push_back({watch.handle(), 0, ZMQ_POLLIN, 0});
  return items_->list.size() - 1;
}

void Poller::wait(TimePoint now, TimePoint deadline) {
  constexpr std::int64_t nanoseconds_per_ms = 1'000'000;
  constexpr std::int64_t longest_ms = 3'600'000;
  std::int64_t timeout_ms = -1;
  if (deadline != TimePoint::never()) {
    // Rounded up: waking early would spin until the deadline.
    const std::int64_t left = std::max<std::int64_t>(0, (deadline - now).count());
    timeout_ms = std::min((left + nanoseconds_per_ms - 1) / nanoseconds_per_ms, longest_ms);
  }
  const int count = zmq_poll(items_->list.data(), static_cast<int>(items_->list.size()),
                             static_cast<long>(timeout_ms));
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
