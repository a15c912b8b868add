#include "client/watch.hpp"

#include <chrono>

#include "core/check.hpp"

namespace ipf::client {

bool Watch::satisfied() const {
  return open_ == 0 || (want_ == Want::any && !finished_.empty());
}

void Watch::expect() {
  const std::scoped_lock lock(mutex_);
  ++open_;
}

bool Watch::finish(std::uint32_t index) {
  const std::scoped_lock lock(mutex_);
  IPF_CHECK(open_ > 0);
  --open_;
  finished_.push_back(index);
  return want_ != Want::nothing && satisfied();
}

void Watch::wake() {
  const std::scoped_lock lock(mutex_);
  changed_.notify_all();
}

bool Watch::wait(std::unique_lock<std::mutex>& lock, Want want, Timeout timeout) {
  want_ = want;
  const auto done = [this] { return satisfied(); };
  bool result = true;
  // A time that the clock cannot add to its reading is as good as for ever.
  if (timeout > std::chrono::hours(24 * 365 * 10)) {
    changed_.wait(lock, done);
  } else {
    result = changed_.wait_for(lock, timeout, done);
  }
  want_ = Want::nothing;
  return result;
}

std::vector<std::uint32_t> Watch::next(Timeout timeout) {
  std::unique_lock lock(mutex_);
  if (finished_.empty() && open_ > 0) {
    wait(lock, Want::any, timeout);
  }
  std::vector<std::uint32_t> out;
  out.swap(finished_);
  return out;
}

bool Watch::wait_all(Timeout timeout) {
  std::unique_lock lock(mutex_);
  return wait(lock, Want::all, timeout);
}

std::size_t Watch::open() {
  const std::scoped_lock lock(mutex_);
  return open_;
}

}  // namespace ipf::client
