#include "ipyfleet/client.hpp"

#include <charconv>
#include <chrono>
#include <unistd.h>
#include <utility>

#include "client/client_reactor.hpp"
#include "client/connection.hpp"
#include "client/request_writer.hpp"
#include "client/result_board.hpp"
#include "core/text.hpp"
#include "protocol/json_text.hpp"
#include "protocol/signer.hpp"

namespace ipf {

namespace {

ClientErrorCode to_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found:
    case ErrorCode::io:
    case ErrorCode::permission:
      return ClientErrorCode::not_found;
    case ErrorCode::unavailable:
      return ClientErrorCode::unsupported;
    case ErrorCode::timed_out:
      return ClientErrorCode::timed_out;
    default:
      return ClientErrorCode::invalid_argument;
  }
}

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) {
    throw ClientError(to_code(result.error().code), result.error().message);
  }
  return std::move(result).value();
}

client::Channel to_channel(Route route) {
  switch (route) {
    case Route::engine:
      return client::Channel::mux;
    case Route::balanced:
      return client::Channel::task;
    case Route::control:
      return client::Channel::control;
    case Route::hub:
      return client::Channel::query;
  }
  return client::Channel::query;
}

Frames to_frames(std::span<const Buffer> buffers) {
  FramesBuilder builder;
  for (const auto& buffer : buffers) {
    if (buffer.owner) {
      builder.add(SharedBytes{buffer.owner, buffer.bytes});
    } else {
      builder.add(buffer.bytes);
    }
  }
  return builder.finish();
}

}  // namespace

class Client::Impl {
 public:
  Impl(const ConnectOptions& options, const ClientLimits& limits)
      : found(value_or_throw(client::find_connection(options))),
        signer(value_or_throw(Signer::create(found.info.key, found.info.signature_scheme))),
        session(new_session_id()),
        writer(session, user_name(), signer),
        board(limits, writer.msg_id_prefix()),
        reactor(found, limits, std::move(writer), signer, board) {}

  void check_process() const {
    if (forked()) {
      throw ClientError(ClientErrorCode::forked,
                        "this client belongs to process " + std::to_string(process_) +
                            "; a forked child (here " + std::to_string(getpid()) +
                            ") needs a client of its own");
    }
  }
  [[nodiscard]] bool forked() const { return getpid() != process_; }

  Request send(const RequestSpec& spec) {
    check_process();
    const bool direct = spec.route == Route::engine || spec.route == Route::control;
    if (direct == spec.engine_uuid.empty() || spec.type.empty()) {
      throw ClientError(ClientErrorCode::invalid_argument,
                        "a request needs a type, and the uuid of an engine exactly when its route "
                        "is engine or control");
    }
    auto state =
        board.add(std::string(spec.type), std::string(spec.engine_uuid),
                  spec.route == Route::engine || spec.route == Route::balanced, wall_now());
    const bool taken = reactor.submit({.number = state->number,
                                       .channel = to_channel(spec.route),
                                       .type = std::string(spec.type),
                                       .target = std::string(spec.engine_uuid),
                                       .metadata = std::string(spec.metadata),
                                       .content = std::string(spec.content),
                                       .buffers = to_frames(spec.buffers)});
    if (!taken) {
      throw ClientError(ClientErrorCode::closed, board.close_reason());
    }
    return Request(std::move(state));
  }

  std::vector<Request> broadcast(const RequestSpec& spec, std::span<const std::string> uuids) {
    check_process();
    if (found.info.broadcast.empty()) {
      throw ClientError(ClientErrorCode::unsupported,
                        "this controller has no broadcast schedulers");
    }
    if (uuids.empty() || spec.type.empty()) {
      throw ClientError(ClientErrorCode::invalid_argument,
                        "a broadcast needs a type and at least one engine");
    }
    client::NewRequest request{.channel = client::Channel::broadcast,
                               .type = std::string(spec.type),
                               .metadata = std::string(spec.metadata),
                               .content = std::string(spec.content),
                               .buffers = to_frames(spec.buffers)};
    std::vector<Request> out;
    for (auto& state : board.add_broadcast(request.type, uuids, wall_now())) {
      request.number = *state->broadcast;
      request.parts.push_back({state->number, state->target});
      out.emplace_back(std::move(state));
    }
    if (!reactor.submit(std::move(request))) {
      throw ClientError(ClientErrorCode::closed, board.close_reason());
    }
    return out;
  }

  /// The request that a message id names, if it is one of ours and still known.
  [[nodiscard]] client::StatePtr find(std::string_view msg_id) const {
    const std::string& prefix = board.msg_id_prefix();
    if (!msg_id.starts_with(prefix)) {
      return nullptr;
    }
    const std::string_view rest = msg_id.substr(prefix.size());
    const std::string_view digits = rest.substr(0, rest.find('_'));
    client::RequestNumber number = 0;
    const auto [end, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (failure != std::errc() || end != digits.data() + digits.size()) {
      return nullptr;
    }
    if (digits.size() == rest.size()) {
      const auto state = board.find(number);
      return state && !state->broadcast ? state : nullptr;
    }
    return board.find(number, rest.substr(digits.size() + 1));
  }

  static std::vector<std::string> msg_ids(const std::vector<client::StatePtr>& states) {
    std::vector<std::string> out;
    out.reserve(states.size());
    for (const auto& state : states) {
      out.push_back(state->msg_id());
    }
    return out;
  }

  void connect(Timeout timeout) const {
    if (timeout <= Timeout::zero() || board.wait_listed(timeout)) {
      return;
    }
    const double seconds = std::chrono::duration<double>(timeout).count();
    throw ClientError(ClientErrorCode::timed_out,
                      "the controller at " + found.interface + ":" +
                          std::to_string(found.info.registration) + " did not answer within " +
                          Json(seconds).dump() + " s" +
                          (found.file.empty() ? "" : " (connection file " + found.file + ")"));
  }

  client::FoundConnection found;
  Signer signer;
  std::string session;
  client::RequestWriter writer;
  client::ResultBoard board;
  client::ClientReactor reactor;

 private:
  pid_t process_{getpid()};
};

Client::Client(const ConnectOptions& options, const ClientLimits& limits)
    : impl_(std::make_unique<Impl>(options, limits)) {
  impl_->connect(options.timeout);
}

Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}

Client::~Client() {
  if (impl_ && impl_->forked()) {
    // Neither the thread nor libzmq's exist here; ending them would hang.
    // NOLINTNEXTLINE(bugprone-unused-return-value): leaked on purpose
    static_cast<void>(impl_.release());
  }
}

Client::Impl& Client::impl() const {
  impl_->check_process();
  return *impl_;
}

std::vector<EngineInfo> Client::engines() const {
  return impl().board.engines();
}

std::uint64_t Client::engines_version() const {
  return impl().board.engines_version();
}

bool Client::wait_connected(Timeout timeout) const {
  return impl().board.wait_listed(timeout);
}

bool Client::wait_for_engines(std::size_t count, Timeout timeout) const {
  const bool enough = impl().board.wait_engines(count, timeout);
  if (!enough && closed()) {
    throw ClientError(ClientErrorCode::closed, impl_->board.close_reason());
  }
  return enough;
}

Request Client::send(const RequestSpec& spec) {
  return impl().send(spec);
}

std::vector<Request> Client::broadcast(const RequestSpec& spec,
                                       std::span<const std::string> engine_uuids) {
  return impl().broadcast(spec, engine_uuids);
}

Request Client::apply(std::string_view engine_uuid, std::span<const Buffer> buffers) {
  constexpr std::string_view task_metadata =
      R"({"after": [], "follow": [], "timeout": 0.0, "targets": [], "retries": 0, "label": null})";
  const bool balanced = engine_uuid.empty();
  return send({.route = balanced ? Route::balanced : Route::engine,
               .type = "apply_request",
               .engine_uuid = engine_uuid,
               .metadata = balanced ? task_metadata : R"({"label": null})",
               .buffers = buffers});
}

Request Client::execute(std::string_view engine_uuid, std::string_view code, bool silent) {
  std::string content = R"({"code": )";
  append_json_string(content, code);
  content += silent ? R"(, "silent": true)" : R"(, "silent": false)";
  content += R"(, "user_expressions": {}})";
  return send({.route = Route::engine,
               .type = "execute_request",
               .engine_uuid = engine_uuid,
               .metadata = R"({"label": null})",
               .content = content});
}

std::optional<Request> Client::find(std::string_view msg_id) const {
  auto state = impl().find(msg_id);
  return state ? std::optional<Request>(Request(std::move(state))) : std::nullopt;
}

std::vector<std::string> Client::outstanding() const {
  return Impl::msg_ids(impl().board.outstanding());
}

std::size_t Client::outstanding_count() const {
  return impl().board.outstanding_count();
}

std::vector<std::string> Client::history() const {
  return Impl::msg_ids(impl().board.history());
}

bool Client::forget(std::string_view msg_id) {
  const auto state = impl().find(msg_id);
  return state && impl_->board.forget(state->number);
}

const std::string& Client::session() const {
  return impl_->session;
}

const std::string& Client::file() const {
  return impl_->found.file;
}

bool Client::closed() const {
  return impl().board.closed();
}

void Client::close() {
  impl().reactor.stop();
}

}  // namespace ipf
