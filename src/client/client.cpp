#include "ipyfleet/client.hpp"

#include <array>
#include <cstddef>
#include <new>
#include <utility>

#include "client/core.hpp"
#include "client/stopping.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

std::vector<std::string> msg_ids(const std::vector<client::StatePtr>& states) {
  std::vector<std::string> out;
  out.reserve(states.size());
  for (const auto& state : states) {
    out.push_back(state->msg_id());
  }
  return out;
}

std::vector<Request> handles(std::vector<client::StatePtr> states) {
  std::vector<Request> out;
  out.reserve(states.size());
  for (auto& state : states) {
    out.emplace_back(std::move(state));
  }
  return out;
}

}  // namespace

Client::Client(const ConnectOptions& options, const ClientLimits& limits)
    : core_(std::make_shared<client::Core>(options, limits)) {
  core_->board.belongs_to(core_);
  core_->connect(options.timeout);
}

Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  std::swap(core_, other.core_);
  return *this;
}

Client::~Client() {
  if (core_ && core_->forked()) {
    // Neither the thread nor libzmq's exist here; ending them would hang.
    // Leaked on purpose: moved to where no destructor runs.
    alignas(std::shared_ptr<client::Core>)
        std::array<std::byte, sizeof(std::shared_ptr<client::Core>)>
            leaked{};
    ::new (leaked.data()) std::shared_ptr<client::Core>(std::move(core_));
  }
}

client::Core& Client::core() const {
  core_->check_process();
  return *core_;
}

Client Client::connect(const ConnectOptions& options, const ClientLimits& limits) {
  return Client(options, limits);
}

EngineView Client::engine(int id) const {
  return {detail::Sender(core_), core().engines(std::array{id}).front()};
}

DirectView Client::direct(std::span<const int> ids) const {
  return {detail::Sender(core_), core().engines(ids), DirectView::Way::direct};
}

DirectView Client::broadcasting(std::span<const int> ids) const {
  return {detail::Sender(core_), core().engines(ids), DirectView::Way::broadcast};
}

BalancedView Client::balanced(BalancedOptions options) const {
  core().check_process();
  return {detail::Sender(core_), std::move(options)};
}

std::vector<EngineInfo> Client::engines() const {
  return core().board.engines();
}

std::uint64_t Client::engines_version() const {
  return core().board.engines_version();
}

bool Client::wait_connected(Timeout timeout) const {
  return core().wait_connected(timeout);
}

bool Client::wait_for_engines(std::size_t count, Timeout timeout) const {
  const bool enough = core().board.wait_engines(count, timeout);
  if (!enough && closed()) {
    throw ClientError(ClientErrorCode::closed, core_->board.close_reason());
  }
  return enough;
}

Request Client::send(const RequestSpec& spec) {
  return core().send(spec);
}

std::vector<Request> Client::broadcast(const RequestSpec& spec,
                                       std::span<const std::string> engine_uuids) {
  return core().send_broadcast(spec, engine_uuids);
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
  auto state = core().find(msg_id);
  return state ? std::optional<Request>(Request(std::move(state))) : std::nullopt;
}

std::vector<std::string> Client::outstanding() const {
  return msg_ids(core().board.outstanding());
}

std::size_t Client::outstanding_count() const {
  return core().board.outstanding_count();
}

bool Client::cancel_outstanding(Timeout grace) const {
  return client::cancel_requests(core(), handles(core().board.outstanding()), grace);
}

void Client::abort_outstanding() const {
  client::abort_requests(core(), handles(core().board.outstanding()));
}

std::vector<std::string> Client::history() const {
  return msg_ids(core().board.history());
}

bool Client::forget(std::string_view msg_id) {
  const auto state = core().find(msg_id);
  return state && core_->board.forget(state->number);
}

const std::string& Client::session() const {
  return core_->session;
}

const std::string& Client::file() const {
  return core_->found.file;
}

bool Client::closed() const {
  return core().board.closed();
}

void Client::close() {
  core().reactor.stop();
}

}  // namespace ipf
