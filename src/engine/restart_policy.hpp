#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "core/clock.hpp"

namespace ipf::engine {

/// When an engine that ended is started again by its nanny.
enum class RestartMode {
  never,       ///< only when a client asks for it
  on_failure,  ///< also when it ended by itself without having said so
};

struct RestartOptions {
  RestartMode mode{RestartMode::never};
  /// Crashes within `window` that are followed by a restart; one more ends the nanny, too.
  int limit{5};
  Duration window{std::chrono::seconds(60)};
  /// Before the second restart within `window`; the first one comes at once, each further one
  /// after twice the time.
  Duration second_delay{std::chrono::milliseconds(100)};
  Duration longest_delay{std::chrono::seconds(10)};
};

/// How an engine ended, as its nanny knows it.
struct EngineEnd {
  std::string how{};        ///< e.g. "was killed by signal 11 (SIGSEGV)"
  bool was_registered{};    ///< this process or one before it
  bool announced{};         ///< it said that it would leave, whatever the exit status
  bool asked_to_restart{};  ///< a client wants a new one: shutdown(restart=True), a forced cancel
  bool told_to_stop{};      ///< the nanny got SIGTERM or the like
};

struct RestartDecision {
  bool restart{};
  Duration delay{};
  std::string why{};  ///< for the log
};

/// Decides about restarts; remembers the crashes of the last `window`. Pure, one thread.
///
/// | the engine ended                                     | mode never | on_failure            |
/// |------------------------------------------------------|------------|-----------------------|
/// | told to stop, or it left in order                    | no         | no                    |
/// | a client asked for a restart                         | at once    | at once               |
/// | before it was ever registered: its start is at fault | no         | no                    |
/// | in any other way                                     | no         | with back-off, limited|
class RestartPolicy {
 public:
  explicit RestartPolicy(RestartOptions options) : options_(options) {}

  RestartDecision decide(TimePoint now, const EngineEnd& end);

 private:
  RestartOptions options_;
  std::deque<TimePoint> crashes_{};
};

}  // namespace ipf::engine
