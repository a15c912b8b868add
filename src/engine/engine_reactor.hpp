#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "engine/engine_channels.hpp"
#include "engine/engine_link.hpp"
#include "engine/engine_machine.hpp"
#include "engine/kernel_link.hpp"
#include "engine/nanny_link.hpp"
#include "engine/output_capture.hpp"
#include "engine/reply_texts.hpp"
#include "engine/sent_replies.hpp"
#include "engine/usage_report.hpp"
#include "net/io_loop.hpp"
#include "net/loop_sources.hpp"
#include "protocol/connection_file.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/replay_guard.hpp"

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
  /// A request that has not got its idle yet.
  struct Pending {
    Channel channel{Channel::shell};
    std::string msg_type{};
    std::string msg_id{};
    Message head;                      ///< without large buffers
    std::optional<Message> request{};  ///< complete, until Python has it
    WallTime started{};
    std::string content{};  ///< of Python's reply
    Frames buffers{};
  };

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
  [[nodiscard]] bool captured_is_waiting();
  void read_captured();
  void publish_captured();

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

  void perform(const SendRegistration& action);
  void perform(const ConnectSockets& action);
  void perform(const PublishStarting& action);
  void perform(const AnswerPing& action);
  void perform(const PublishBusy& action);
  void perform(const PublishIdle& action);
  void perform(const Execute& action);
  void perform(const Clear& action);
  void perform(const AskBeside& action);
  void perform(const SendResult& action);
  void perform(const SendAborted& action);
  void perform(const SendAnswer& action);
  void perform(const SendOk& action);
  void perform(const SendFailure& action);
  void perform(const AnnounceShutdown& action);
  void perform(const SendCancelled& action);
  void perform(const Interrupt& action);
  void perform(const RaiseSignal& action);
  void perform(const SendUnregistration& action);
  void perform(const StopPython& action);
  void perform(const Leave& action);
  void perform(const Note& action);

  Pending& pending(RequestToken token);
  void hand_over(RequestToken token, WorkKind kind);
  void reply(const Pending& request,
             std::string_view content,
             ReplyFacts facts = {},
             const Frames& buffers = {});
  [[nodiscard]] const EngineIdentity& identity() const;
  [[nodiscard]] std::string connect_content(Channel channel) const;
  void publish_status(const Pending& request, std::string_view state);
  void publish(const Published& message);
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
  std::unique_ptr<EngineLink> link_;    ///< null for a kernel without a controller
  std::shared_ptr<KernelLink> kernel_;  ///< null unless frontends may connect
  LoopFd outputs_waiting_{loop_, channels_.wakeup.fd()};
  LoopFd termination_waiting_{loop_, channels_.termination.fd()};
  std::optional<LoopFd> nanny_waiting_{};
  std::optional<LoopFd> frontend_waiting_{};
  std::array<std::optional<LoopFd>, OutputCapture::streams> captured_waiting_{};

  bool connected_{};
  bool debugger_{};
  bool work_of_kernel_{};  ///< as Published::of_kernel, for the request that Python works on
  std::string python_version_{};
  HeaderReader headers_{};
  ReplayGuard guard_{};
  std::unordered_map<std::uint64_t, Pending> pending_{};
  SentReplies sent_replies_{};
  std::uint64_t last_token_{};
  std::optional<Frames> ping_{};
  UsageMeter usage_{};
  /// Output past Python that has not been published, and the request it belongs to.
  std::array<std::string, OutputCapture::streams> captured_{};
  SharedBytes work_parent_{};
  OutputAllowance captured_allowance_{options_.output_bytes_max};
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
