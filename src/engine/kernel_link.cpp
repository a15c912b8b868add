#include "engine/kernel_link.hpp"

#include <filesystem>
#include <utility>

#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

/// Time for the last messages to leave when the process ends.
constexpr int linger_ms = 1000;
/// Messages that wait for one frontend which does not read.
constexpr int iopub_hwm = 10'000;
/// Messages taken from one socket before the others have their turn.
constexpr int burst = 64;
constexpr int ipc_suffix_max = 10'000;

/// Identities of frontends are random, and one that reconnects comes with its old one, perhaps
/// before its old connection is noticed to be gone.
SocketOptions listening(bool mandatory = false) {
  return {.mandatory = mandatory, .handover = true, .linger_ms = linger_ms};
}

int free_ipc_suffix(const KernelConnection& connection) {
  std::error_code failure;
  for (int suffix = 1; suffix < ipc_suffix_max; ++suffix) {
    if (!std::filesystem::exists(connection.ip + "-" + std::to_string(suffix), failure)) {
      return suffix;
    }
  }
  return ipc_suffix_max;
}

}  // namespace

Result<std::unique_ptr<KernelLink>> KernelLink::open(KernelConnection wanted,
                                                     const KernelOwner& owner) {
  auto signer = Signer::create(wanted.key, wanted.signature_scheme);
  if (!signer) {
    return unexpected(signer.error());
  }
  std::unique_ptr<KernelLink> link(new KernelLink(std::move(wanted), owner, std::move(*signer)));
  IPF_TRY(link->bind(link->shell_.socket, link->connection_.shell_port));
  IPF_TRY(link->bind(link->iopub_.socket, link->connection_.iopub_port));
  IPF_TRY(link->bind(link->input_.socket, link->connection_.stdin_port));
  IPF_TRY(link->bind(link->control_.socket, link->connection_.control_port));
  IPF_TRY(link->bind(link->heartbeat_.socket, link->connection_.hb_port));
  return link;
}

KernelLink::KernelLink(KernelConnection wanted, const KernelOwner& owner, Signer signer)
    : connection_(std::move(wanted)),
      messages_(owner.uuid, owner.username, std::move(signer)),
      shell_{Socket(context_, SocketKind::router, listening())},
      control_{Socket(context_, SocketKind::router, listening())},
      iopub_{Socket(context_,
                    SocketKind::xpub,
                    {.verbose = true, .send_hwm = iopub_hwm, .linger_ms = linger_ms})},
      input_{Socket(context_, SocketKind::router, listening(true))},
      heartbeat_{Socket(context_, SocketKind::router, {.linger_ms = 0})} {
  messages_.set_id(owner.id);
}

KernelLink::~KernelLink() {
  if (!file_.empty()) {
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
  }
}

Result<void> KernelLink::bind(Socket& socket, int& port) {
  if (connection_.transport == "ipc") {
    if (port == 0) {
      port = free_ipc_suffix(connection_);
    }
    return socket.bind_url(kernel_url(connection_, port));
  }
  auto bound = socket.bind(connection_.transport + "://" + connection_.ip, port);
  if (!bound) {
    return unexpected(bound.error());
  }
  port = *bound;
  return {};
}

void KernelLink::attach(IoLoop& loop) {
  for (Listener* listener : {&shell_, &control_, &iopub_, &input_, &heartbeat_}) {
    listener->source.emplace(loop, listener->socket);
  }
}

ipf::SendResult KernelLink::Listener::send(const Frames& frames) {
  const auto sent = socket.send(frames);
  source->touched();
  return sent;
}

std::optional<Frames> KernelLink::receive(Channel channel) {
  return (is_shell(channel) ? shell_ : control_).source->receive();
}

bool KernelLink::pending() const {
  const auto more = [](const Listener& listener) { return listener.source->pending(); };
  return more(shell_) || more(control_) || more(iopub_) || more(input_) || more(heartbeat_);
}

void KernelLink::publish_status(std::string_view parent, std::string_view state) {
  iopub_.send(messages_.status(parent, state));
}

void KernelLink::publish(const Published& message) {
  iopub_.send(messages_.published(message));
}

void KernelLink::reply(const ReplyTarget& target,
                       const ReplyFacts& facts,
                       std::string_view content,
                       const Frames& buffers) {
  Listener& listener = is_shell(target.channel) ? shell_ : control_;
  listener.send(messages_.reply(target, facts, content, buffers));
}

bool KernelLink::ask(const Message& request, std::string_view prompt, bool password) {
  const std::string content = dump_json({{"prompt", std::string(prompt)}, {"password", password}});
  return input_.send(messages_.question(request, "input_request", content)) ==
         ipf::SendResult::sent;
}

void KernelLink::echo_heartbeats() {
  for (int i = 0; i < burst; ++i) {
    const auto ping = heartbeat_.source->receive();
    if (!ping) {
      return;
    }
    heartbeat_.send(*ping);
  }
}

void KernelLink::welcome_subscribers() {
  constexpr char subscribes = 1;
  for (int i = 0; i < burst; ++i) {
    const auto told = iopub_.source->receive();
    if (!told) {
      return;
    }
    const std::string_view text = told->size() > 0 ? (*told)[0] : std::string_view{};
    if (!text.empty() && text.front() == subscribes) {
      iopub_.send(messages_.welcome(text.substr(1)));
    }
  }
}

}  // namespace ipf::engine
