#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <pthread.h>
#include <string>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "engine/engine_events.hpp"
#include "protocol/frames.hpp"
#include "protocol/message.hpp"

namespace ipf::engine {

/// As RequestKind; `message` is an inquiry or a notice.
enum class WorkKind { apply, execute, message, clear };

/// One request on its way to Python.
struct WorkItem {
  RequestToken token{};
  WorkKind kind{WorkKind::apply};
  std::string msg_id{};
  Message message;
  bool of_kernel{};  ///< as in Published
};

/// The way from the IO thread to the main thread, which runs Python.
///
/// The engine machine hands over one request at a time, so there is one place for it. The main
/// thread sleeps in take() without holding the GIL; handing over costs a system call only when it
/// sleeps. A signal that arrives meanwhile ends take() early, so that Python can run its handler.
///
/// Threads: hand_over, interrupt, admit and stop belong to the IO thread; take, begin and finish to
/// the main thread; nudge to any. A mutex guards the state and is held for a few instructions only,
/// never while Python runs.
class ExecutionQueue {
 public:
  ExecutionQueue();

  // IO thread ----
  void hand_over(WorkItem item);
  /// The engine is registered; wait_admitted() returns.
  void admit(EngineId id);
  /// SIGINT for the request that runs, if one does. It never reaches another request, and it is not
  /// lost: when the main thread has not begun yet, begin() tells it to interrupt itself.
  void interrupt();
  /// take() returns `stopped` once what was handed over is done.
  void stop();

  // any thread ----
  /// Wakes the main thread to clean up.
  void nudge();

  // main thread ----
  enum class Outcome { work, nudged, stopped };
  struct Taken {
    Outcome outcome{Outcome::nudged};
    std::optional<WorkItem> item{};
  };
  /// Waits until there is something, until a signal, a nudge, or for `most`.
  Taken take(Duration most);
  /// Begins the item that take() returned: what signals came before are not meant for it. True when
  /// interrupt() was called for it already.
  [[nodiscard]] bool begin();
  /// The item is done; from now on interrupt() does nothing.
  void finish();
  /// Waits for admit() or stop(); nothing when stopped.
  std::optional<EngineId> wait_admitted();

 private:
  enum class Stage { idle, handed_over, running };

  void wake();
  /// Sleeps unless something has happened since `seen`; a signal handler ends it, too.
  void sleep(std::uint32_t seen, Duration most);

  std::mutex mutex_;
  Stage stage_{Stage::idle};
  std::optional<WorkItem> item_{};
  std::optional<EngineId> id_{};
  bool interrupted_{};
  bool stopped_{};
  bool nudged_{};

  /// Counts what happens; the futex word of sleep().
  std::atomic<std::uint32_t> events_{0};
  std::atomic<bool> sleeping_{false};
  pthread_t main_thread_;
};

}  // namespace ipf::engine
