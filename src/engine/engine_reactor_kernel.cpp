// The part of the reactor that knows of two kinds of peers: a controller, and frontends that are
// connected to kernel ports of this engine.
#include <algorithm>
#include <utility>

#include "engine/engine_reactor.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

/// Requests taken before outputs and deadlines have their turn.
constexpr int frontend_burst = 64;

}  // namespace

const EngineIdentity& EngineReactor::identity() const {
  return link_ ? link_->identity() : kernel_->identity();
}

TimePoint EngineReactor::next_deadline() const {
  return std::min({machine_.next_deadline(), streams_due_, watch_due_,
                   link_ ? link_->next_deadline() : TimePoint::never()});
}

void EngineReactor::publish_status(const Pending& request, std::string_view state) {
  if (link_ && !is_kernel(request.channel)) {
    link_->publish_status(request.head.header(), state);
  }
  // Frontends show whether the kernel is busy, whoever keeps it busy.
  if (kernel_) {
    kernel_->publish_status(request.head.header(), state);
  }
}

void EngineReactor::publish(const Published& message) {
  if (link_ && !message.of_kernel) {
    link_->publish(message);
  }
  if (kernel_) {
    kernel_->publish(message);
  }
}

std::string EngineReactor::connect_content(Channel channel) const {
  Json content{{"status", "ok"}};
  if (is_kernel(channel)) {  // to a client of the controller these ports would mean nothing
    const KernelConnection& connection = kernel_->connection();
    content.update({{"shell_port", connection.shell_port},
                    {"iopub_port", connection.iopub_port},
                    {"stdin_port", connection.stdin_port},
                    {"control_port", connection.control_port},
                    {"hb_port", connection.hb_port}});
  }
  return dump_json(content);
}

void EngineReactor::serve_controller() {
  if (link_) {
    receive_pings();
    receive_requests();
    receive_registration();
  }
}

void EngineReactor::serve_kernel() {
  if (kernel_) {
    kernel_->echo_heartbeats();
    kernel_->welcome_subscribers();
    receive_frontend_requests(Channel::kernel_control);
    receive_frontend_requests(Channel::kernel_shell);
    receive_input();
  }
}

void EngineReactor::receive_frontend_requests(Channel channel) {
  for (int i = 0; i < frontend_burst; ++i) {
    auto frames = kernel_->receive(channel);
    if (!frames) {
      return;
    }
    on_frames(channel, std::move(*frames));
  }
}

void EngineReactor::receive_input() {
  while (auto frames = kernel_->receive_input()) {
    const auto message = accept_message(std::move(*frames), kernel_->signer(), guard_);
    if (!message) {
      report_rejected(message.error());
      continue;
    }
    const auto content = parse_json_object(message->content(), "input_reply");
    if (!content) {
      report_rejected(content.error());
      continue;
    }
    // Whoever does not know the key could not come here; other frontends have not been asked.
    if (question_ && message->identity_count() > 0 &&
        pending(question_->token).head.identity(0) == message->identity(0)) {
      channels_.input.answer(question_->question, string_or(*content, "value"));
      question_.reset();
    }
  }
}

void EngineReactor::on_output(KernelBound& output) {
  kernel_ = std::move(output.link);
  kernel_->attach(loop_);
}

void EngineReactor::on_output(const InputWanted& output) {
  const auto found = pending_.find(output.token.value);
  const bool asked = kernel_ && found != pending_.end() &&
                     found->second.channel == Channel::kernel_shell &&
                     found->second.head.identity_count() > 0 &&
                     kernel_->ask(found->second.head, output.prompt, output.password);
  if (!asked) {
    channels_.input.refuse(output.question);
    return;
  }
  question_ = {.token = output.token, .question = output.question};
}

}  // namespace ipf::engine
