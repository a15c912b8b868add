#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "engine/control_queue.hpp"
#include "engine/engine_output.hpp"
#include "engine/execution_queue.hpp"
#include "engine/input_exchange.hpp"
#include "engine/stream_buffer.hpp"
#include "net/wakeup.hpp"

namespace ipf::engine {

/// All that the main thread and the IO thread of an engine share. Outlives both users.
struct EngineChannels {
  explicit EngineChannels(StreamBufferOptions streaming = {}) : streams(outputs, streaming) {}
  EngineChannels(const EngineChannels&) = delete;
  EngineChannels& operator=(const EngineChannels&) = delete;

  static constexpr std::size_t outputs_max = 10'000;

  Wakeup wakeup{};
  /// True while the IO thread is in poll, or about to be: only then a wake-up is worth its price.
  std::atomic<bool> io_sleeps{false};
  OutputMailbox outputs{outputs_max, [this] {
                          if (io_sleeps.load()) {
                            wakeup.signal();
                          }
                        }};
  StreamBuffer streams;
  ExecutionQueue queue{};
  InputExchange input{};
  ControlQueue control{};
  /// The request that Python works on, or did last.
  std::atomic<std::uint64_t> current_request{0};
  /// Signalled by the SIGTERM handler.
  Wakeup termination{};
};

}  // namespace ipf::engine
