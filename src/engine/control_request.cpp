#include "engine/control_request.hpp"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <string>

#include "core/log.hpp"

namespace ipf::engine {

namespace {

bool says_moved(const Json& content) {
  const auto own = content.find("ipyfleet");
  if (own == content.end() || !own->is_object()) {
    return false;
  }
  const auto moved = own->find("moved");
  return moved != own->end() && moved->is_boolean() && moved->get<bool>();
}

ControlRequest decode_abort(const Json& content) {
  const auto ids = content.find("msg_ids");
  if (ids != content.end() && ids->is_string()) {
    return Abort{.msg_ids = {ids->get<std::string>()}, .moved = false};
  }
  if (ids == content.end() || !ids->is_array()) {
    return Refusal{.ename = "TypeError",
                   .evalue = "abort_request: 'msg_ids' must be a list of strings or one string"};
  }
  Abort abort{.msg_ids = {}, .moved = says_moved(content)};
  abort.msg_ids.reserve(ids->size());
  for (const auto& id : *ids) {
    if (!id.is_string()) {
      return Refusal{.ename = "TypeError",
                     .evalue = "abort_request: 'msg_ids' must hold strings only"};
    }
    abort.msg_ids.push_back(id.get<std::string>());
  }
  return abort;
}

ControlRequest decode_signal(const Json& content) {
  const auto name = content.find("sig");
  if (name == content.end()) {
    return Refusal{.ename = "KeyError", .evalue = "'sig'"};
  }
  const int number = signal_number(*name);
  if (number < 0) {
    return Refusal{.ename = "ValueError",
                   .evalue = "signal_request: " + printable(dump_json(*name)) +
                             " is no signal of this machine"};
  }
  return Signal{.number = number};
}

ControlRequest decode_cancel(const Json& content) {
  const auto id = content.find("msg_id");
  if (id == content.end() || !id->is_string()) {
    return Refusal{.ename = "TypeError", .evalue = "cancel_request: 'msg_id' must be a string"};
  }
  constexpr double default_seconds = 3;
  constexpr double seconds_max = 86400;
  double seconds = default_seconds;
  if (const auto grace = content.find("grace"); grace != content.end()) {
    if (!grace->is_number()) {
      return Refusal{.ename = "TypeError",
                     .evalue = "cancel_request: 'grace' must be a number of seconds"};
    }
    seconds = grace->get<double>();
  }
  return Cancel{.msg_id = id->get<std::string>(),
                .grace = seconds < 0 ? Duration{-1}
                                     : std::chrono::milliseconds(static_cast<std::int64_t>(
                                           std::min(seconds, seconds_max) * 1000))};
}

ControlRequest decode_shutdown(const Json& content) {
  const auto restart = content.find("restart");
  return Shutdown{.restart =
                      restart != content.end() && restart->is_boolean() && restart->get<bool>()};
}

}  // namespace

bool is_control_type(std::string_view msg_type) {
  return msg_type == "abort_request" || msg_type == "clear_request" ||
         msg_type == "shutdown_request" || msg_type == "signal_request" ||
         msg_type == "interrupt_request" || msg_type == "cancel_request";
}

bool is_shell_inquiry(std::string_view msg_type) {
  return msg_type == "complete_request" || msg_type == "inspect_request" ||
         msg_type == "is_complete_request" || msg_type == "history_request" ||
         msg_type == "comm_info_request";
}

ControlRequest decode_control(std::string_view msg_type, const Json& content) {
  if (!content.is_object()) {
    return Refusal{.ename = "TypeError", .evalue = "the content of a request must be a dictionary"};
  }
  if (msg_type == "abort_request") {
    return decode_abort(content);
  }
  if (msg_type == "clear_request") {
    return ClearNamespace{};
  }
  if (msg_type == "shutdown_request") {
    return decode_shutdown(content);
  }
  if (msg_type == "signal_request") {
    return decode_signal(content);
  }
  if (msg_type == "cancel_request") {
    return decode_cancel(content);
  }
  if (msg_type == "interrupt_request") {
    return InterruptWork{};
  }
  if (msg_type == "kernel_info_request" || msg_type == "usage_request") {
    return Inquiry{};
  }
  if (msg_type == "debug_request" || is_shell_inquiry(msg_type)) {
    return ShellInquiry{};
  }
  if (msg_type.ends_with("_request")) {
    return Refusal{
        .ename = "NotImplementedError",
        .evalue = "this engine does not answer " + printable(msg_type) + " on its control socket"};
  }
  return Unanswered{};
}

int signal_number(const Json& name) {
  constexpr int last_signal = 64;
  if (name.is_number_integer()) {
    const auto number = name.get<std::int64_t>();
    return number >= 0 && number <= last_signal ? static_cast<int>(number) : -1;
  }
  if (!name.is_string()) {
    return -1;
  }
  std::string text = name.get<std::string>();
  if (text.starts_with("SIG")) {
    text.erase(0, 3);
  }
  for (int number = 1; number < last_signal; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && text == known) {
      return number;
    }
  }
  return -1;
}

}  // namespace ipf::engine
