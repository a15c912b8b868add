#include "monitor/top/observer.hpp"

#include <algorithm>
#include <chrono>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "monitor/hub_question.hpp"

namespace ipf::top {

namespace {

constexpr Duration step = std::chrono::milliseconds(50);
/// Engines answer without the interpreter, so that who is silent for longer will be for long.
constexpr Duration usage_time = std::chrono::milliseconds(400);
/// More rows fit on no screen, and asking each engine would become a load of its own.
constexpr std::size_t usages_max = 200;

/// The epoch when there is no such file.
std::filesystem::file_time_type time_of(const std::filesystem::path& file) {
  std::error_code failure;
  const auto written = std::filesystem::last_write_time(file, failure);
  return failure ? std::filesystem::file_time_type{} : written;
}

}  // namespace

Observer::Observer(std::filesystem::path client_file, std::function<bool()> interrupted)
    : file_(std::move(client_file)), interrupted_(std::move(interrupted)) {}

Result<void> Observer::go_on(TimePoint deadline) const {
  if (interrupted_()) {
    return unexpected(ErrorCode::closed, "interrupted");
  }
  if (time_of(file_) != written_) {  // the client would try the old address for ever
    return unexpected(ErrorCode::unavailable,
                      "it has ended, and its connection file has gone: " + file_.string());
  }
  if (steady_now() >= deadline) {
    return unexpected(ErrorCode::timed_out, "it does not answer");
  }
  return {};
}

Result<void> Observer::connect(TimePoint deadline) {
  if (!client_) {
    written_ = time_of(file_);
    client_ =
        std::make_unique<Client>(ConnectOptions{.file = file_.string(), .timeout = Timeout{0}});
    asked_.clear();
    knows_status_ = true;
  }
  while (!client_->wait_connected(step)) {
    IPF_TRY(go_on(deadline));
  }
  return {};
}

Result<Json> Observer::answer(const Request& request, TimePoint deadline) {
  while (!request.wait(step)) {
    IPF_TRY(go_on(deadline));
  }
  auto read = read_answer(request);
  if (!read) {
    return unexpected(read.error());
  }
  return std::move(read->content);
}

void Observer::add_usages(Snapshot& snapshot, TimePoint deadline) {
  std::set<std::string> here;
  std::vector<EngineInfo> engines = client_->engines();
  engines.resize(std::min(engines.size(), usages_max));
  for (const EngineInfo& engine : engines) {
    here.insert(engine.uuid);
    if (!asked_.contains(engine.uuid)) {
      asked_.emplace(engine.uuid, ask_engine(*client_, engine.uuid, "usage_request"));
    }
  }
  std::erase_if(asked_, [&](const auto& entry) { return !here.contains(entry.first); });
  std::map<int, EngineUsage> usages;
  for (const EngineInfo& engine : engines) {
    const auto asked = asked_.find(engine.uuid);
    if (!asked->second.wait(std::max<Duration>(deadline - steady_now(), Duration{0}))) {
      continue;
    }
    if (const auto read = read_answer(asked->second)) {
      if (auto usage = read_usage(read->content)) {
        usages[engine.id] = std::move(*usage);
      }
    }
    client_->forget(asked->second.msg_id());
    asked_.erase(asked);
  }
  for (EngineFigures& engine : snapshot.engines) {
    if (const auto found = usages.find(engine.id); found != usages.end()) {
      engine.usage = found->second;
    }
  }
}

Result<Snapshot> Observer::look(Duration limit) {
  const TimePoint deadline = steady_now() + limit;
  try {
    if (const Result<void> connected = connect(deadline); !connected) {
      client_.reset();
      return unexpected(connected.error());
    }
    const Request queues = ask_hub(*client_, "queue_request", R"({"targets": null})");
    const Request status = ask_hub(*client_, "status_request");
    Result<Json> queue_reply = answer(queues, deadline);
    Result<Json> status_reply =
        knows_status_ && queue_reply ? answer(status, deadline) : Result<Json>(Json());
    if (!status_reply && status_reply.error().code == ErrorCode::unavailable) {
      knows_status_ = false;
      status_reply = Json();
    }
    if (!queue_reply || !status_reply) {
      client_.reset();
      return unexpected(queue_reply ? status_reply.error() : queue_reply.error());
    }
    Result<Snapshot> out = read_snapshot(*queue_reply, *status_reply);
    if (out) {
      out->at = steady_now();
      out->wall = wall_now();
      add_usages(*out, std::min(deadline, out->at + usage_time));
    }
    return out;
  } catch (const ClientError& error) {
    client_.reset();
    return unexpected(
        error.code() == ClientErrorCode::not_found ? ErrorCode::not_found : ErrorCode::unavailable,
        error.what());
  }
}

}  // namespace ipf::top
