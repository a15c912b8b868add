#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "core/log.hpp"
#include "engine/control_request.hpp"

/// What the engine machine is told and what it orders. Events are past tense, actions imperative;
/// all are plain comparable structs. The reactor that feeds them owns the sockets and the messages;
/// the machine sees a message only as a token.
namespace ipf::engine {

/// One accepted request, shell or control; the reactor counts them up from 1.
using RequestToken = Id<struct RequestTokenTag, std::uint64_t>;

/// Who answers a shell request.
enum class RequestKind {
  apply,    ///< Python, `shell.apply`
  execute,  ///< Python, `shell.execute`
  inquiry,  ///< Python, `shell.answer`: complete, inspect, history...
  notice,   ///< Python, `shell.answer`, without a reply: messages of comms
  native,   ///< the reactor itself, in its turn: kernel_info and everything that is not supported
};

// ---- events -------------------------------------------------------------------------------------

/// The registration socket exists; the process starts to live.
struct EngineStarted {
  bool operator==(const EngineStarted&) const = default;
};
/// The ports of a kernel of its own are open: there is no controller to register with.
struct KernelOpened {
  bool operator==(const KernelOpened&) const = default;
};
struct RegistrationAccepted {
  EngineId id{};
  Duration ping_period{};
  bool operator==(const RegistrationAccepted&) const = default;
};
struct RegistrationRefused {
  std::string reason{};
  bool known{};  ///< because an engine with this uuid is registered
  bool operator==(const RegistrationRefused&) const = default;
};
/// A new connection file appeared while no controller answered: all begins again.
struct ConnectionReplaced {
  bool operator==(const ConnectionReplaced&) const = default;
};
/// The connection to the controller was lost and is there again, maybe to another controller.
struct ConnectionCameBack {
  bool operator==(const ConnectionCameBack&) const = default;
};
/// `shell.start` has returned: requests can be executed.
struct ShellStarted {
  bool operator==(const ShellStarted&) const = default;
};
/// Python could not be started; the reason has been logged.
struct ShellFailed {
  bool operator==(const ShellFailed&) const = default;
};
/// The main thread is done with Python and executes nothing any more.
struct PythonStopped {
  bool operator==(const PythonStopped&) const = default;
};
struct PingArrived {
  bool operator==(const PingArrived&) const = default;
};
/// A verified request on the shell socket.
struct RequestArrived {
  RequestToken token{};
  RequestKind kind{RequestKind::native};
  std::string msg_id{};
  bool operator==(const RequestArrived&) const = default;
};
/// Python is done with the request of Execute or Clear and its outputs are under way.
struct RequestFinished {
  RequestToken token{};
  bool stops_queue{};  ///< a failed execute that was not silent and had stop_on_error
  bool failed{};       ///< the reply is an error
  bool operator==(const RequestFinished&) const = default;
};
/// A verified request on the control socket, or one of its kind on the shell socket.
struct ControlArrived {
  RequestToken token{};
  ControlRequest request{};
  bool operator==(const ControlArrived&) const = default;
};
/// Python has answered the request of AskBeside.
struct BesideAnswered {
  RequestToken token{};
  bool operator==(const BesideAnswered&) const = default;
};
/// SIGTERM arrived, or the nanny died.
struct TerminationRequested {
  std::string reason{};
  bool operator==(const TerminationRequested&) const = default;
};
/// The nanny wants this engine to end at once, e.g. because it uses too much memory.
struct EndOrdered {
  std::string reason{};
  bool operator==(const EndOrdered&) const = default;
};
/// A deadline of next_deadline() may have passed.
struct TimePassed {
  bool operator==(const TimePassed&) const = default;
};

using Event = std::variant<EngineStarted,
                           KernelOpened,
                           RegistrationAccepted,
                           RegistrationRefused,
                           ConnectionReplaced,
                           ConnectionCameBack,
                           ShellStarted,
                           ShellFailed,
                           PythonStopped,
                           PingArrived,
                           RequestArrived,
                           RequestFinished,
                           ControlArrived,
                           BesideAnswered,
                           TerminationRequested,
                           EndOrdered,
                           TimePassed>;

// ---- actions ------------------------------------------------------------------------------------

struct SendRegistration {
  bool new_sockets{};  ///< those to the hub may hang: a half-open connection keeps their identity
  bool operator==(const SendRegistration&) const = default;
};
/// Connect shell, control, iopub and heart, unless they are; tell the nanny; let the main thread
/// start the shell.
struct ConnectSockets {
  EngineId id{};
  bool operator==(const ConnectSockets&) const = default;
};
struct PublishStarting {
  bool operator==(const PublishStarting&) const = default;
};
/// Echo the ping that just arrived.
struct AnswerPing {
  bool operator==(const AnswerPing&) const = default;
};
/// Begin a request: `status busy` with it as the parent.
struct PublishBusy {
  RequestToken token{};
  bool operator==(const PublishBusy&) const = default;
};
/// End a request: `status idle`. The reactor forgets the token.
struct PublishIdle {
  RequestToken token{};
  bool operator==(const PublishIdle&) const = default;
};
/// Hand the request to Python; RequestFinished answers.
struct Execute {
  RequestToken token{};
  bool operator==(const Execute&) const = default;
};
/// Let Python empty the user's namespace; RequestFinished answers.
struct Clear {
  RequestToken token{};
  bool operator==(const Clear&) const = default;
};
/// Let Python answer beside what runs in the main thread; BesideAnswered answers.
struct AskBeside {
  RequestToken token{};
  bool operator==(const AskBeside&) const = default;
};
/// Send the reply that came with RequestFinished or BesideAnswered.
struct SendResult {
  RequestToken token{};
  bool operator==(const SendResult&) const = default;
};
struct SendAborted {
  RequestToken token{};
  bool moved{false};  ///< see Abort: the request may come once more
  bool operator==(const SendAborted&) const = default;
};
/// Answer a request of RequestKind::native or an Inquiry, whatever it is.
struct SendAnswer {
  RequestToken token{};
  bool operator==(const SendAnswer&) const = default;
};
/// `{"status": "ok"}` in reply to a control request.
struct SendOk {
  RequestToken token{};
  bool operator==(const SendOk&) const = default;
};
struct SendFailure {
  RequestToken token{};
  std::string ename{};
  std::string evalue{};
  bool operator==(const SendFailure&) const = default;
};
/// The reply to a shutdown_request, on its socket and on iopub.
struct AnnounceShutdown {
  RequestToken token{};
  bool restart{};
  bool operator==(const AnnounceShutdown&) const = default;
};
/// The reply to a cancel_request.
struct SendCancelled {
  RequestToken token{};
  std::string outcome{};  ///< see EngineMachine::control(.., const Cancel&)
  bool operator==(const SendCancelled&) const = default;
};
/// KeyboardInterrupt in the request that runs.
struct Interrupt {
  bool operator==(const Interrupt&) const = default;
};
struct RaiseSignal {
  int number{};
  bool operator==(const RaiseSignal&) const = default;
};
/// Tell the hub that this engine is leaving; without an id when it never got one.
struct SendUnregistration {
  std::optional<EngineId> id{};
  bool operator==(const SendUnregistration&) const = default;
};
/// Let the main thread end its loop after what it does now; PythonStopped answers. The nanny learns
/// that the end that follows is no crash.
struct StopPython {
  bool restart{};  ///< the nanny is to start another engine in this place
  bool operator==(const StopPython&) const = default;
};
/// Send what is still to be sent and end the process.
struct Leave {
  int status{};
  bool python_stopped{};  ///< false: the main thread is stuck, end the process without it
  bool operator==(const Leave&) const = default;
};
/// A line for the log.
struct Note {
  LogLevel level{LogLevel::info};
  std::string text{};
  bool operator==(const Note&) const = default;
};

using Action = std::variant<SendRegistration,
                            ConnectSockets,
                            PublishStarting,
                            AnswerPing,
                            PublishBusy,
                            PublishIdle,
                            Execute,
                            Clear,
                            AskBeside,
                            SendResult,
                            SendAborted,
                            SendAnswer,
                            SendOk,
                            SendFailure,
                            AnnounceShutdown,
                            SendCancelled,
                            Interrupt,
                            RaiseSignal,
                            SendUnregistration,
                            StopPython,
                            Leave,
                            Note>;
using Actions = std::vector<Action>;

}  // namespace ipf::engine
