#include "client/core.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf::client {

namespace {

ClientErrorCode to_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found:
    case ErrorCode::io:
      return ClientErrorCode::not_found;
    case ErrorCode::permission:
      return ClientErrorCode::permission;
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

Channel to_channel(Route route) {
  switch (route) {
    case Route::engine:
      return Channel::mux;
    case Route::balanced:
      return Channel::task;
    case Route::control:
      return Channel::control;
    case Route::hub:
      return Channel::query;
  }
  return Channel::query;
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

/// Starts the tunnel that the connection needs, if any, and lets it go through there.
std::unique_ptr<SshTunnel> open_tunnel(const ConnectOptions& options, FoundConnection& found) {
  if (found.ssh_server.empty()) {
    return nullptr;
  }
  const ConnectionInfo& info = found.info;
  std::vector<int> ports{info.registration, info.notification, info.iopub,
                         info.mux,          info.task,         info.control};
  ports.insert(ports.end(), info.broadcast.begin(), info.broadcast.end());
  std::erase(ports, 0);
  auto tunnel = value_or_throw(SshTunnel::start({.server = found.ssh_server,
                                                 .key_file = options.ssh_key,
                                                 .password = options.ssh_password,
                                                 .host = found.ssh_host,
                                                 .ports = std::move(ports)}));
  found.interface = tunnel->interface();
  return tunnel;
}

}  // namespace

Core::Core(const ConnectOptions& options, const ClientLimits& limits)
    : found(value_or_throw(find_connection(options))),
      tunnel(open_tunnel(options, found)),
      signer(value_or_throw(Signer::create(found.info.key, found.info.signature_scheme))),
      session(new_session_id()),
      writer(session, user_name(), signer),
      board(limits, writer.msg_id_prefix()),
      reactor(found, ConnectionWatch(options, found), limits, std::move(writer), signer, board) {}

void Core::check_process() const {
  if (forked()) {
    throw ClientError(ClientErrorCode::forked,
                      "this client belongs to process " + std::to_string(process_) +
                          "; a forked child (here " + std::to_string(getpid()) +
                          ") needs a client of its own");
  }
}
Request Core::send(const RequestSpec& spec) {
  check_process();
  const bool direct = spec.route == Route::engine || spec.route == Route::control;
  if (direct == spec.engine_uuid.empty() || spec.type.empty()) {
    throw ClientError(ClientErrorCode::invalid_argument,
                      "a request needs a type, and the uuid of an engine exactly when its route "
                      "is engine or control");
  }
  auto state = board.add(std::string(spec.type), std::string(spec.engine_uuid),
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

std::vector<Request> Core::send_broadcast(const RequestSpec& spec,
                                          std::span<const std::string> uuids) {
  check_process();
  if (found.info.broadcast.empty()) {
    throw ClientError(ClientErrorCode::unsupported, "this controller has no broadcast schedulers");
  }
  if (uuids.empty() || spec.type.empty()) {
    throw ClientError(ClientErrorCode::invalid_argument,
                      "a broadcast needs a type and at least one engine");
  }
  NewRequest request{.channel = Channel::broadcast,
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

StatePtr Core::find(std::string_view msg_id) const {
  const std::string& prefix = board.msg_id_prefix();
  if (!msg_id.starts_with(prefix)) {
    return nullptr;
  }
  const std::string_view rest = msg_id.substr(prefix.size());
  const std::string_view digits = rest.substr(0, rest.find('_'));
  RequestNumber number = 0;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failure != std::errc() || end != digits.data() + digits.size()) {
    return nullptr;
  }
  if (digits.size() == rest.size()) {
    const auto state = board.find(number);
    return state && !state->broadcast ? state : nullptr;
  }
  return board.find(number, rest.substr(digits.size() + 1));
}

bool Core::wait_connected(Timeout timeout) const {
  if (!tunnel) {
    return board.wait_listed(timeout);
  }
  constexpr Timeout look = std::chrono::milliseconds(50);
  for (Timeout left = timeout;; left -= left == forever ? Timeout::zero() : look) {
    if (const auto failure = tunnel->failure()) {
      throw ClientError(failure->code == ErrorCode::permission ? ClientErrorCode::permission
                                                               : ClientErrorCode::closed,
                        failure->message);
    }
    if (board.wait_listed(std::min(left, look))) {
      return true;
    }
    if (left <= look) {
      return false;
    }
  }
}

void Core::connect(Timeout timeout) const {
  if (timeout <= Timeout::zero() || wait_connected(timeout)) {
    return;
  }
  const double seconds = std::chrono::duration<double>(timeout).count();
  throw ClientError(ClientErrorCode::timed_out,
                    "the controller at " + found.interface + ":" +
                        std::to_string(found.info.registration) + " did not answer within " +
                        Json(seconds).dump() + " s" +
                        (found.file.empty() ? "" : " (connection file " + found.file + ")"));
}

std::vector<EngineInfo> Core::engines(std::span<const int> ids) const {
  check_process();
  std::vector<EngineInfo> known = board.engines();
  if (known.empty()) {
    throw ClientError(ClientErrorCode::invalid_argument,
                      "there are no engines; see wait_for_engines()");
  }
  if (ids.empty()) {
    return known;
  }
  std::vector<EngineInfo> out;
  for (const int id : ids) {
    const auto found_engine = std::ranges::find(known, id, &EngineInfo::id);
    if (found_engine == known.end()) {
      throw ClientError(ClientErrorCode::invalid_argument, "there is no engine " +
                                                               std::to_string(id) + "; there are " +
                                                               std::to_string(known.size()));
    }
    out.push_back(*found_engine);
  }
  return out;
}

}  // namespace ipf::client
