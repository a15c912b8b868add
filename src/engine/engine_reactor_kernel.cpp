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

TimePoint EngineReactor::next_deadline() const {
  return std::min({machine_.next_deadline(), streams_due_, watch_due_,
                   peers_.link ? peers_.link->next_deadline() : TimePoint::never()});
}

void EngineReactor::serve_controller() {
  if (peers_.link) {
    receive_pings();
    receive_requests();
    receive_registration();
  }
}

void EngineReactor::serve_kernel() {
  if (peers_.kernel) {
    peers_.kernel->echo_heartbeats();
    peers_.kernel->welcome_subscribers();
    receive_frontend_requests(Channel::kernel_control);
    receive_frontend_requests(Channel::kernel_shell);
    receive_input();
  }
}

void EngineReactor::receive_frontend_requests(Channel channel) {
  for (int i = 0; i < frontend_burst; ++i) {
    auto frames = peers_.kernel->receive(channel);
    if (!frames) {
      return;
    }
    on_frames(channel, std::move(*frames));
  }
}

void EngineReactor::receive_input() {
  while (auto frames = peers_.kernel->receive_input()) {
    const auto message =
        accept_message(std::move(*frames), peers_.kernel->signer(), guard_.signatures());
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
        desk_.at(question_->token).head.identity(0) == message->identity(0)) {
      channels_.input.answer(question_->question, string_or(*content, "value"));
      question_.reset();
    }
  }
}

void EngineReactor::on_output(KernelBound& output) {
  peers_.kernel = std::move(output.link);
  peers_.kernel->attach(loop_);
}

void EngineReactor::on_output(const InputWanted& output) {
  const RequestDesk::Request* const request = desk_.find(output.token);
  const bool asked = peers_.kernel && request != nullptr &&
                     request->channel == Channel::kernel_shell &&
                     request->head.identity_count() > 0 &&
                     peers_.kernel->ask(request->head, output.prompt, output.password);
  if (!asked) {
    channels_.input.refuse(output.question);
    return;
  }
  question_ = {.token = output.token, .question = output.question};
}

}  // namespace ipf::engine
