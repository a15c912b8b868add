#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>

#include "core/clock.hpp"
#include "core/mailbox.hpp"
#include "engine/engine_events.hpp"
#include "protocol/frames.hpp"

/// What the Python side of the process tells its IO thread.
namespace ipf::engine {

class KernelLink;

/// `shell.start` has returned.
struct ShellReady {
  std::string python_version{};
  bool debugger{};  ///< debug_request can be answered
};
/// `shell.start` failed, or there is no usable Python; the reason has been printed.
struct ShellBroken {};
/// Text waits in the stream buffer and must go out within the flush interval.
struct StreamWaiting {};
/// One iopub message.
struct Published {
  std::string msg_type{};
  std::string topic{};  ///< the suffix behind `engine.<id>.`
  std::string content{};
  std::string metadata{};  ///< empty: what names this engine
  Frames buffers{};
  SharedBytes parent{};  ///< the header of the request it belongs to; may be empty
  bool of_kernel{};      ///< that request came from a frontend, so the controller is not told
};
/// The reply to a request. Its outputs were pushed before.
struct WorkDone {
  RequestToken token{};
  std::string content{};  ///< empty: `{"status": "ok"}`
  Frames buffers{};
};
/// The reply to a control request that Python answers.
struct ControlAnswered {
  RequestToken token{};
  std::string content{};
};
/// User code waits for a line from whoever sent the request; InputExchange brings the answer.
struct InputWanted {
  RequestToken token{};      ///< of the request that runs
  std::uint64_t question{};  ///< for InputExchange
  std::string prompt{};
  bool password{};
};
/// The engine's own kernel ports are open: frontends may connect from now on.
struct KernelBound {
  std::shared_ptr<KernelLink> link{};
};
/// User code called exit().
struct ExitRequested {};
/// The main thread has finalised Python.
struct MainThreadDone {};

using EngineOutput = std::variant<ShellReady,
                                  ShellBroken,
                                  StreamWaiting,
                                  Published,
                                  WorkDone,
                                  ControlAnswered,
                                  InputWanted,
                                  KernelBound,
                                  ExitRequested,
                                  MainThreadDone>;
using OutputMailbox = Mailbox<EngineOutput>;

}  // namespace ipf::engine
