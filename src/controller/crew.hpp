#pragma once

#include <atomic>
#include <functional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "core/log.hpp"
#include "net/wakeup.hpp"

namespace ipf {

/// The threads of a controller, which live and end together: half a controller that looks alive is
/// worse than none. When one of them ends, by an error or because it is told so, finished_fd() is
/// readable, and the owner has to end all of them. start() and stop() belong to the owner's thread.
class Crew {
 public:
  explicit Crew(Log& log) : log_(log) {}
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;
  ~Crew() { stop(); }

  /// `run` is the thread and returns soon after its token says so; `wake` ends its waiting.
  void start(std::string name,
             std::function<void(const std::stop_token&)> run,
             std::function<void()> wake);
  /// Tells the owner that it is time to end; any thread.
  void finish() const { finished_.signal(); }
  /// Stops and joins all threads.
  void stop();

  [[nodiscard]] int finished_fd() const { return finished_.fd(); }
  /// True when a thread failed.
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  Log& log_;
  Wakeup finished_;
  std::atomic<bool> failed_{false};
  std::stop_source stop_;
  std::vector<std::function<void()>> wakes_;
  std::vector<std::jthread> threads_;
};

}  // namespace ipf
