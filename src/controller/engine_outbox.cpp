#include "controller/engine_outbox.hpp"

#include <array>
#include <span>
#include <utility>
#include <vector>

namespace ipf {

namespace {
constexpr Duration some_seconds = std::chrono::seconds(5);
constexpr Duration retry_period = std::chrono::milliseconds(1);
}  // namespace

SendResult EngineOutbox::try_send(const std::string& engine_uuid, const Message& request) {
  const std::array<std::string_view, 2> route{
      engine_uuid, request.identity_count() > 0 ? request.identity(0) : std::string_view{}};
  const std::size_t ids = request.identity_count() > 0 ? 2 : 1;
  return send_(std::span(route).first(ids), request.frames(), request.identity_count());
}

void EngineOutbox::send(TimePoint now,
                        const std::string& engine_uuid,
                        const std::string& msg_id,
                        const Message& request,
                        Patience patience) {
  const auto waiting = kept_.find(engine_uuid);
  if (waiting == kept_.end() && try_send(engine_uuid, request) == SendResult::sent) {
    return;
  }
  const TimePoint deadline =
      patience == Patience::until_forgotten ? TimePoint::never() : now + some_seconds;
  kept_[engine_uuid].push_back({msg_id, request, deadline});
}

void EngineOutbox::retry(TimePoint now) {
  std::vector<std::pair<std::string, Kept>> given_up;
  for (auto at = kept_.begin(); at != kept_.end();) {
    auto& [uuid, queue] = *at;
    while (!queue.empty() && try_send(uuid, queue.front().request) == SendResult::sent) {
      queue.pop_front();
    }
    std::erase_if(queue, [&, &name = uuid](Kept& kept) {
      if (kept.deadline > now) {
        return false;
      }
      given_up.emplace_back(name, std::move(kept));
      return true;
    });
    at = queue.empty() ? kept_.erase(at) : std::next(at);
  }
  for (const auto& [uuid, kept] : given_up) {
    give_up_(uuid, kept.msg_id, kept.request);
  }
}

TimePoint EngineOutbox::next_deadline(TimePoint now) const {
  return kept_.empty() ? TimePoint::never() : now + retry_period;
}

}  // namespace ipf
