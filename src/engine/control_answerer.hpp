#pragma once

#include <functional>
#include <string>
#include <thread>

#include "engine/engine_channels.hpp"
#include "protocol/message.hpp"

namespace ipf::engine {

/// The thread that answers control requests in Python while the main thread runs user code: what
/// asks about the shell (completions of a busy engine), and the debugger, which works while the
/// code that it debugs is stopped. Signals never reach this thread.
class ControlAnswerer {
 public:
  /// Called in the thread with the GIL; returns the content of the reply and never throws.
  using Answer = std::function<std::string(const Message& request)>;

  /// Starts the thread. The caller holds the GIL, here and in the destructor, which ends the thread
  /// behind the request that it works on.
  ControlAnswerer(EngineChannels& channels, Answer answer);
  ControlAnswerer(const ControlAnswerer&) = delete;
  ControlAnswerer& operator=(const ControlAnswerer&) = delete;
  ~ControlAnswerer();

 private:
  void run();

  EngineChannels& channels_;
  Answer answer_;
  std::thread thread_;
};

}  // namespace ipf::engine
