#include "net/accept_relief.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/check.hpp"
#include "net/socket.hpp"

namespace ipf {

namespace {

constexpr Duration look_distance = std::chrono::milliseconds(50);
constexpr Duration refusing_time = std::chrono::milliseconds(100);
constexpr Duration log_distance = std::chrono::seconds(10);

bool descriptors_exhausted() {
  const int probe = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (probe >= 0) {
    close(probe);
    return false;
  }
  return errno == EMFILE || errno == ENFILE;
}

/// From now on the calling thread has a table of its own, with room above `last`.
bool leave_table(int last) {
#ifdef SYS_close_range
  constexpr unsigned unshare_flag = 1U << 1U;  // CLOSE_RANGE_UNSHARE, which older headers lack
  if (syscall(SYS_close_range, static_cast<unsigned>(last) + 1, ~0U, unshare_flag) == 0) {
    return true;
  }
#endif
  if (unshare(CLONE_FILES) != 0) {
    return false;
  }
  for (int fd = last + 1; fd < last + 1 + 256; ++fd) {
    close(fd);
  }
  return true;
}

}  // namespace

AcceptRelief::AcceptRelief(Log& log) : log_(log), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  IPF_CHECK(epoll_ >= 0);
}

AcceptRelief::~AcceptRelief() {
  thread_ = {};
  close(epoll_);
}

void AcceptRelief::watch(const Socket& socket) {
  for (const int fd : socket.listening_fds()) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;  // told once of each that comes; libzmq takes it
    event.data.fd = fd;
    IPF_CHECK(epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
    listening_.push_back(fd);
  }
}

void AcceptRelief::look(TimePoint now) {
  std::array<epoll_event, 16> ready{};
  const bool came = epoll_wait(epoll_, ready.data(), static_cast<int>(ready.size()), 0) > 0;
  if (!came && now < look_at_) {
    return;
  }
  const bool exhausted = descriptors_exhausted();
  // Once more a little later: the last descriptor may go between this look and libzmq's.
  look_at_ = came || exhausted ? now + look_distance : TimePoint::never();
  if (!exhausted || refusing_) {
    return;
  }
  if (now >= quiet_until_) {
    quiet_until_ = now + log_distance;
    log_.error("hub: new connections are refused: no file descriptor is left (see ulimit -n); " +
               std::to_string(refused_) + " were refused until now");
  }
  start_refusing();
}

void AcceptRelief::start_refusing() {
  refusing_ = true;
  thread_ = std::jthread([this](const std::stop_token& stop) {
    const TimePoint end = steady_now() + refusing_time;
    std::vector<pollfd> waiting;
    for (const int fd : listening_) {
      waiting.push_back({fd, POLLIN, 0});
    }
    const bool able = leave_table(*std::max_element(listening_.begin(), listening_.end()));
    while (able && !stop.stop_requested() && steady_now() < end) {
      poll(waiting.data(), waiting.size(), 10);
      for (const int fd : listening_) {
        for (int peer = 0; (peer = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
          close(peer);
          ++refused_;
        }
      }
    }
    refusing_ = false;
  });
}

}  // namespace ipf
