#include "engine/request_desk.hpp"

#include <utility>

#include "core/check.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

constexpr std::string_view ok_content = R"({"status": "ok"})";
constexpr std::string_view aborted_content = R"({"status": "aborted"})";

}  // namespace

bool is_comm(std::string_view msg_type) {
  return msg_type.starts_with("comm_") && !msg_type.ends_with("_request");
}

void RequestDesk::shell_is_there(std::string python_version, bool debugger) {
  python_version_ = std::move(python_version);
  debugger_ = debugger;
}

void RequestDesk::add(RequestToken token, Request request) {
  requests_.emplace(token.value, std::move(request));
}

const RequestDesk::Request* RequestDesk::find(RequestToken token) const {
  const auto found = requests_.find(token.value);
  return found == requests_.end() ? nullptr : &found->second;
}

bool RequestDesk::answer_again(std::string_view msg_id, const Message& message) {
  const Frames* reply = peers_.link ? sent_replies_.find(msg_id) : nullptr;
  if (reply == nullptr) {
    return false;
  }
  peers_.link->reply_again(message, *reply);
  peers_.link->publish_status(message.header(), "idle");  // it may have been lost with the reply
  return true;
}

void RequestDesk::clear() {
  requests_.clear();
  sent_replies_.clear();
}

RequestDesk::Request& RequestDesk::at(RequestToken token) {
  const auto found = requests_.find(token.value);
  IPF_CHECK(found != requests_.end());
  return found->second;
}

const EngineIdentity& RequestDesk::identity() const {
  return peers_.link ? peers_.link->identity() : peers_.kernel->identity();
}

void RequestDesk::publish_status(const Request& request, std::string_view state) {
  if (peers_.link && !is_kernel(request.channel)) {
    peers_.link->publish_status(request.head.header(), state);
  }
  // Frontends show whether the kernel is busy, whoever keeps it busy.
  if (peers_.kernel) {
    peers_.kernel->publish_status(request.head.header(), state);
  }
}

void RequestDesk::publish(const Published& message) {
  if (peers_.link && !message.of_kernel) {
    peers_.link->publish(message);
  }
  if (peers_.kernel) {
    peers_.kernel->publish(message);
  }
}

std::string RequestDesk::connect_content(Channel channel) const {
  Json content{{"status", "ok"}};
  if (is_kernel(channel)) {  // to a client of the controller these ports would mean nothing
    const KernelConnection& connection = peers_.kernel->connection();
    content.update({{"shell_port", connection.shell_port},
                    {"iopub_port", connection.iopub_port},
                    {"stdin_port", connection.stdin_port},
                    {"control_port", connection.control_port},
                    {"hb_port", connection.hb_port}});
  }
  return dump_json(content);
}

void RequestDesk::perform(const PublishBusy& action) {
  Request& request = at(action.token);
  if (request.started == WallTime{}) {
    request.started = wall_now();
  }
  publish_status(request, "busy");
}

void RequestDesk::perform(const PublishIdle& action) {
  publish_status(at(action.token), "idle");
  requests_.erase(action.token.value);
}

void RequestDesk::perform(const SendResult& action) {
  const Request& request = at(action.token);
  if (is_comm(request.msg_type)) {
    return;
  }
  const std::string_view content =
      request.content.empty() ? ok_content : std::string_view(request.content);
  const ReplyVerdict verdict = request.content.empty() ? ReplyVerdict{} : read_verdict(content);
  reply(request, content, {.status = verdict.status, .dependencies_met = verdict.dependencies_met},
        request.buffers);
}

void RequestDesk::perform(const SendAborted& action) {
  const Request& request = at(action.token);
  reply(request, aborted_content,
        {.status = action.moved ? ReplyStatus::moved : ReplyStatus::aborted});
  if (action.moved) {
    sent_replies_.forget(request.msg_id);
  }
}

void RequestDesk::perform(const SendAnswer& action) {
  const Request& request = at(action.token);
  if (request.msg_type == "kernel_info_request") {
    reply(request, kernel_info_content(python_version_, IPF_VERSION, debugger_));
  } else if (request.msg_type == "usage_request") {
    reply(request, usage_.content(steady_now()));
  } else if (request.msg_type == "connect_request") {
    reply(request, connect_content(request.channel));
  } else {
    perform(SendFailure{.token = action.token,
                        .ename = "NotImplementedError",
                        .evalue = "this engine does not answer " + printable(request.msg_type)});
  }
}

void RequestDesk::perform(const SendOk& action) {
  reply(at(action.token), ok_content);
}

void RequestDesk::perform(const SendFailure& action) {
  const Request& request = at(action.token);
  const std::string method = request.msg_type.substr(0, request.msg_type.find('_'));
  reply(request, identity().error_content(action.ename, action.evalue, method),
        {.status = ReplyStatus::error});
}

void RequestDesk::perform(const AnnounceShutdown& action) {
  const Request& request = at(action.token);
  const std::string content = dump_json({{"status", "ok"}, {"restart", action.restart}});
  reply(request, content);
  publish({.msg_type = "shutdown_reply",
           .topic = "shutdown",
           .content = content,
           .parent = request.head.frames().shared(request.head.identity_count() + 2),
           .of_kernel = is_kernel(request.channel)});
}

void RequestDesk::reply(const Request& request,
                        std::string_view content,
                        ReplyFacts facts,
                        const Frames& buffers) {
  facts.started = request.started;
  const ReplyTarget target{
      .channel = request.channel, .msg_type = request.msg_type, .request = request.head};
  if (is_kernel(request.channel)) {
    peers_.kernel->reply(target, facts, content, buffers);
    return;
  }
  Frames sent = peers_.link->reply(target, facts, content, buffers);
  sent_replies_.add(request.msg_id, std::move(sent));
}

void RequestDesk::perform(const SendCancelled& action) {
  reply(at(action.token), dump_json({{"status", "ok"}, {"outcome", action.outcome}}));
}

}  // namespace ipf::engine
