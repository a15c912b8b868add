#include "client/stopping.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/core.hpp"
#include "core/clock.hpp"
#include "ipyfleet/future.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace client {

namespace {

constexpr Timeout longest = std::chrono::seconds(10);
/// Beyond the grace, for the answers of all engines.
constexpr Timeout spare = std::chrono::seconds(7);
constexpr Timeout look = std::chrono::milliseconds(50);

std::vector<Request> open_ones(std::span<const Request> requests) {
  std::vector<Request> out;
  std::ranges::copy_if(requests, std::back_inserter(out), [](const Request& request) {
    return !request.done() && !request.cancelled();
  });
  return out;
}

std::vector<std::string> uuids_of(const Core& core) {
  std::vector<std::string> out;
  for (const auto& engine : core.board.engines()) {
    out.push_back(engine.uuid);
  }
  return out;
}

/// Appends the requests whose replies are the engines' answers.
void tell(Core& core,
          std::span<const std::string> uuids,
          std::string_view type,
          const Json& content,
          std::vector<Request>& answers) {
  const std::string text = dump_json(content);
  for (const auto& uuid : uuids) {
    answers.push_back(
        core.send({.route = Route::control, .type = type, .engine_uuid = uuid, .content = text}));
  }
}

/// To all engines: who does not have a load-balanced call yet will know what to do with it.
std::vector<Request> tell_to_abort(Core& core, std::span<const Request> requests) {
  Json msg_ids = Json::array();
  for (const auto& request : requests) {
    msg_ids.push_back(request.msg_id());
  }
  std::vector<Request> answers;
  tell(core, uuids_of(core), "abort_request", {{"msg_ids", msg_ids}}, answers);
  return answers;
}

}  // namespace

void abort_requests(Core& core, std::span<const Request> requests) {
  const auto open = open_ones(requests);
  if (!open.empty()) {
    Completions(tell_to_abort(core, open)).wait_all(longest);
  }
}

bool cancel_requests(Core& core, std::span<const Request> requests, Timeout grace) {
  const auto open = open_ones(requests);
  if (open.empty()) {
    return false;
  }
  // Engines of ipyparallel know this one only.
  static_cast<void>(tell_to_abort(core, open));
  const auto everybody = uuids_of(core);
  std::vector<Request> answers;
  for (const auto& request : open) {
    const std::vector<std::string> one{request.target()};
    tell(core, one.front().empty() ? everybody : one, "cancel_request",
         {{"msg_id", request.msg_id()}, {"grace", std::chrono::duration<double>(grace).count()}},
         answers);
  }
  const TimePoint end = steady_now() + std::max(grace, Timeout::zero()) + spare;
  Completions ended(open);
  Completions told(answers);
  while (!ended.wait_all(look)) {
    if (told.wait_all(Timeout::zero())) {
      // Who is stopped answers with the error just before; what no engine has is kept from running
      // wherever the scheduler sends it.
      ended.wait_all(look);
      break;
    }
    if (steady_now() > end) {
      return false;
    }
  }
  const bool stopped = std::ranges::none_of(
      open, [](const Request& request) { return request.status() == Status::ok; });
  for (const auto& request : open) {
    request.state()->cancelled = request.status() != Status::ok;
  }
  return stopped;
}

}  // namespace client

namespace detail {

namespace {

/// The client that sent them; nullptr when there are none.
std::shared_ptr<client::Core> client_of(std::span<const Request> requests) {
  if (requests.empty()) {
    return nullptr;
  }
  auto core = requests.front().state()->origin->core.lock();
  if (!core) {
    throw ClientError(ClientErrorCode::closed, "the client of this call is gone");
  }
  return core;
}

}  // namespace

bool cancel(std::span<const Request> requests, Timeout grace) {
  const auto core = client_of(requests);
  return core && client::cancel_requests(*core, requests, grace);
}

void abort(std::span<const Request> requests) {
  if (const auto core = client_of(requests)) {
    client::abort_requests(*core, requests);
  }
}

}  // namespace detail
}  // namespace ipf
