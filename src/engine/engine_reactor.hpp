#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "engine/captured_output.hpp"
#include "engine/engine_channels.hpp"
#include "engine/engine_link.hpp"
#include "engine/engine_machine.hpp"
#include "engine/kernel_link.hpp"
#include "engine/nanny_link.hpp"
#include "engine/output_capture.hpp"
#include "engine/request_desk.hpp"
#include "engine/request_guard.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/header_reader.hpp"

namespace ipf::engine {

/// Where the connection came from, and how to look whether it has changed.
class ConnectionWatch {
 public:
  ConnectionWatch() = default;
  ConnectionWatch(const ConnectionWatch&) = delete;
  ConnectionWatch& operator=(const ConnectionWatch&) = delete;
  virtual ~ConnectionWatch() = default;
  /// Another connection than the last one, if a new file appeared.
  virtual std::optional<ConnectionInfo> changed() = 0;
};

struct ReactorOptions {
  MachineOptions machine{};
  ConnectionInfo connection{};  ///< with an interface that this machine can reach
  bool ports_from_reply{};      ///< only `registration` is known; the rest comes with the reply
  CurveKeyPair curve_keys{};    ///< for a controller that encrypts; empty: fresh ones
  std::string uuid{};
  std::string username{};
  std::optional<EngineId> wanted_id{};
  std::map<std::string, double, std::less<>> resources{};  ///< what it has for tasks
  int nanny_fd{-1};                                        ///< socket to the nanny; -1: none
  /// Set: a kernel of its own without a controller; `connection` means nothing then.
  std::shared_ptr<KernelLink> kernel{};
  int frontend_fd{-1};       ///< becomes readable when the process that started the kernel is gone
  ConnectionWatch* watch{};  ///< may be null
  OutputCapture* capture{};  ///< may be null
  std::size_t output_bytes_max{OutputAllowance::default_bytes_max};  ///< of a request, past Python
};

/// The IO thread of an engine: owns all sockets, never needs the GIL.
///
/// Verifies every message, feeds the EngineMachine and performs what it orders. Pings, control
/// messages, statuses and replies go through here whatever Python does.
class EngineReactor {
 public:
  EngineReactor(ReactorOptions options, EngineChannels& channels, Log& log);
  EngineReactor(const EngineReactor&) = delete;
  EngineReactor& operator=(const EngineReactor&) = delete;

  /// Until the engine leaves; returns its exit status. When the main thread does not end in time,
  /// ends the process itself.
  int run();

 private:
  void open_link();
  void poll(TimePoint deadline);
  void feed(const Event& event);
  void serve_controller();
  void serve_kernel();
  void receive_input();
  void receive_pings();
  void receive_registration();
  void receive_requests();
  void receive_frontend_requests(Channel channel);
  void on_frames(Channel channel, Frames frames);
  void on_request(Channel channel, Message message);
  /// It was here before: answers again if the answer is known.
  void on_replay(Channel channel, const Message& message);
  void take_outputs();
  void perform_outputs(std::vector<EngineOutput>& outputs);
  void flush_streams(TimePoint now);
  void watch_outside(TimePoint now);
  void report_rejected(const Error& error);

  void on_output(const ShellReady& output);
  void on_output(const ShellBroken& output);
  void on_output(const StreamWaiting& output);
  void on_output(const Published& output);
  void on_output(WorkDone& output);
  void on_output(ControlAnswered& output);
  void on_output(const InputWanted& output);
  void on_output(KernelBound& output);
  void on_output(const ExitRequested& output);
  void on_output(const MainThreadDone& output);

  template <Answering Action>
  void perform(const Action& action) {
    desk_.perform(action);
  }
  void perform(const SendRegistration& action);
  void perform(const ConnectSockets& action);
  void perform(const PublishStarting& action);
  void perform(const AnswerPing& action);
  void perform(const PublishIdle& action);
  void perform(const Execute& action);
  void perform(const Clear& action);
  void perform(const AskBeside& action);
  void perform(const SendAborted& action);
  void perform(const Interrupt& action);
  void perform(const RaiseSignal& action);
  void perform(const SendUnregistration& action);
  void perform(const StopPython& action);
  void perform(const Leave& action);
  void perform(const Note& action);

  void hand_over(RequestToken token, WorkKind kind);
  [[nodiscard]] TimePoint next_deadline() const;
  /// A line of nanny_link.hpp; nothing happens without a nanny.
  void tell_nanny(const std::string& line) const;
  void read_nanny();
  void close_link();

  ReactorOptions options_;
  EngineChannels& channels_;
  Log& log_;
  IoLoop loop_{};
  EngineMachine machine_;
  Actions actions_{};
  Peers peers_;
  RequestDesk desk_{peers_};
  CapturedOutput captured_;
  LoopFd outputs_waiting_{loop_, channels_.wakeup.fd()};
  LoopFd termination_waiting_{loop_, channels_.termination.fd()};
  std::optional<LoopFd> nanny_waiting_{};
  std::optional<LoopFd> frontend_waiting_{};

  bool connected_{};
  HeaderReader headers_{};
  RequestGuard guard_{};
  std::uint64_t last_token_{};
  std::optional<Frames> ping_{};
  /// The question that a frontend has been asked, for InputExchange.
  struct OpenQuestion {
    RequestToken token{};
    std::uint64_t question{};
  };
  std::optional<OpenQuestion> question_{};
  std::vector<EngineOutput> outputs_{};
  FramesBuilder head_builder_{};

  TimePoint streams_due_{TimePoint::never()};
  TimePoint watch_due_{TimePoint::never()};
  TimePoint rejected_note_{};
  std::uint64_t rejected_{};
  bool nanny_lost_{};
  LineBuffer nanny_lines_{};
  int exit_status_{};
};

}  // namespace ipf::engine
