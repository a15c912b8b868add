#include "engine/restart_policy.hpp"

#include <algorithm>

namespace ipf::engine {

namespace {

std::string seconds_text(Duration duration) {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(duration).count()) + " s";
}

}  // namespace

RestartDecision RestartPolicy::decide(TimePoint now, const EngineEnd& end) {
  if (end.told_to_stop) {
    return {.why = end.how};
  }
  if (end.asked_to_restart) {
    return {.restart = true, .why = end.how + "; restarting it, as a client asked"};
  }
  if (end.announced || options_.mode == RestartMode::never) {
    return {.why = end.how};
  }
  if (!end.was_registered) {
    return {.why = end.how + "; not restarted, because it never was registered"};
  }
  crashes_.push_back(now);
  while (crashes_.front() + options_.window <= now) {
    crashes_.pop_front();
  }
  const auto count = static_cast<int>(crashes_.size());
  const std::string most =
      std::to_string(options_.limit) + " restarts in " + seconds_text(options_.window);
  if (count > options_.limit) {
    return {.why = end.how + "; giving it up after " + most};
  }
  Duration delay{};
  for (int i = 1; i < count; ++i) {
    delay = std::min(std::max(options_.second_delay, delay * 2), options_.longest_delay);
  }
  return {
      .restart = true,
      .delay = delay,
      .why = end.how + "; restarting it (" + std::to_string(count) + " of at most " + most + ")"};
}

}  // namespace ipf::engine
