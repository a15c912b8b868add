#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/clock.hpp"
#include "protocol/json_text.hpp"

/// What may be asked of an engine while it works (protocol.md 4.8), decoded and type-checked.
namespace ipf::engine {

struct Abort {
  std::vector<std::string> msg_ids{};  ///< empty: everything that waits
  /// The scheduler runs them elsewhere now, and may give them back later: then they are no replays.
  bool moved{false};
  bool operator==(const Abort&) const = default;
};
struct ClearNamespace {
  bool operator==(const ClearNamespace&) const = default;
};
struct Shutdown {
  bool restart{};
  bool operator==(const Shutdown&) const = default;
};
struct Signal {
  int number{};
  bool operator==(const Signal&) const = default;
};
/// Take a request out of the queue, or interrupt it when it runs; and when it still runs after
/// `grace`, end the engine, which its nanny starts again.
struct Cancel {
  std::string msg_id{};
  Duration grace{};  ///< negative: never end the engine
  bool operator==(const Cancel&) const = default;
};
struct InterruptWork {
  bool operator==(const InterruptWork&) const = default;
};
/// kernel_info_request and usage_request: the reactor knows the answer.
struct Inquiry {
  bool operator==(const Inquiry&) const = default;
};
/// What asks about the shell or belongs to the debugger: Python answers beside the main thread.
struct ShellInquiry {
  bool operator==(const ShellInquiry&) const = default;
};
/// What cannot be done, with the reply to it.
struct Refusal {
  std::string ename{};
  std::string evalue{};
  bool operator==(const Refusal&) const = default;
};
/// A message that asks for nothing (no `_request` type): only busy and idle answer it.
struct Unanswered {
  bool operator==(const Unanswered&) const = default;
};

using ControlRequest = std::variant<Abort,
                                    ClearNamespace,
                                    Shutdown,
                                    Signal,
                                    Cancel,
                                    InterruptWork,
                                    Inquiry,
                                    ShellInquiry,
                                    Refusal,
                                    Unanswered>;

/// True for the types that decode_control knows and that are control messages wherever they arrive.
bool is_control_type(std::string_view msg_type);

/// True for the requests about the shell that change nothing in it.
bool is_shell_inquiry(std::string_view msg_type);

/// Decodes by message type; anything wrong becomes a Refusal.
ControlRequest decode_control(std::string_view msg_type, const Json& content);

/// The number of "SIGINT", "INT" or 2; -1 when there is no such signal here.
int signal_number(const Json& name);

}  // namespace ipf::engine
