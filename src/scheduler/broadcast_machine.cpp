#include "scheduler/broadcast_machine.hpp"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "core/check.hpp"

namespace ipf {

namespace {

void drop_repeated(std::vector<BroadcastTarget>& targets) {
  std::unordered_set<std::string_view> seen;
  seen.reserve(targets.size());
  if (std::ranges::all_of(targets, [&](const auto& t) { return seen.insert(t.uuid).second; })) {
    return;
  }
  std::vector<BroadcastTarget> once;
  std::unordered_set<std::string> kept;
  for (auto& target : targets) {
    if (kept.insert(target.uuid).second) {
      once.push_back(std::move(target));
    }
  }
  targets = std::move(once);
}

RemoteFailure engine_error(const BroadcastTarget& target, const std::string& why) {
  return {.ename = "EngineError", .evalue = "Engine '" + printable(target.uuid) + "' " + why};
}

}  // namespace

void BroadcastMachine::step(BroadcastEvent event, BroadcastActions& actions) {
  std::visit([&](auto& concrete) { on(concrete, actions); }, event);
}

void BroadcastMachine::on(EngineJoined& event, BroadcastActions& /*actions*/) {
  engines_.try_emplace(std::move(event.uuid));
}

void BroadcastMachine::on(EngineLeft& event, BroadcastActions& actions) {
  const auto engine = engines_.find(event.uuid);
  if (engine == engines_.end()) {
    return;
  }
  while (Leg* leg = engine->second.first) {
    Calls::value_type& call = *leg->call;
    // Clients end the legs and the coalescing calls of a lost engine themselves.
    call.second.tell_client = false;
    lose(*leg, "died while running task '" + printable(call.first) + "'", nullptr);
    end_if_complete(call, actions);
  }
  engines_.erase(engine);
}

bool BroadcastMachine::has_room(const BroadcastSubmitted& event) const {
  return calls_.size() < options_.calls_max && legs_ + event.targets.size() <= options_.legs_max &&
         bytes_ + event.request.frames().total_bytes() <= options_.bytes_max;
}

void BroadcastMachine::refuse(BroadcastSubmitted& event, BroadcastActions& actions) {
  const RemoteFailure failure{
      "RuntimeError",
      "the controller has too many unfinished broadcasts; wait for some of them to end"};
  if (!event.coalescing) {
    for (const auto& target : event.targets) {
      actions.emplace_back(FailLeg{
          .msg_id = event.msg_id, .target = target, .request = event.request, .failure = failure});
    }
    return;
  }
  actions.emplace_back(NoteCall{.msg_id = event.msg_id, .request = event.request});
  actions.emplace_back(SendCoalesced{
      .msg_id = std::move(event.msg_id),
      .targets = std::make_shared<const std::vector<BroadcastTarget>>(std::move(event.targets)),
      .request = std::move(event.request),
      .replies = {},
      .failed_reply = {},
      .failure = failure});
}

void BroadcastMachine::on(BroadcastSubmitted& event, BroadcastActions& actions) {
  if (calls_.contains(event.msg_id)) {
    actions.emplace_back(TaskLog{
        LogLevel::warning, "broadcast::dropped a second call with the msg_id of an open one"});
    return;
  }
  drop_repeated(event.targets);
  if (!has_room(event)) {
    refuse(event, actions);
    return;
  }
  Call call{
      .request = std::move(event.request),
      .coalescing = event.coalescing,
      .targets = std::make_shared<const std::vector<BroadcastTarget>>(std::move(event.targets))};
  call.bytes = call.request.frames().total_bytes();
  bytes_ += call.bytes;
  auto& entry = *calls_.emplace(std::move(event.msg_id), std::move(call)).first;
  open(entry, actions);
  end_if_complete(entry, actions);
}

void BroadcastMachine::open(Calls::value_type& entry, BroadcastActions& actions) {
  Call& call = entry.second;
  const auto& targets = *call.targets;
  call.legs.resize(targets.size());
  call.by_engine.reserve(targets.size());
  call.open_legs = targets.size();
  legs_ += targets.size();
  std::vector<BroadcastTarget> unknown;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    Leg& leg = call.legs[i];
    leg.call = &entry;
    const auto engine = engines_.find(targets[i].uuid);
    if (engine == engines_.end()) {
      lose(leg, "is not registered with this controller", &actions);
      unknown.push_back(targets[i]);
      continue;
    }
    leg.engine = &engine->second;
    leg.previous = leg.engine->last;
    (leg.previous == nullptr ? leg.engine->first : leg.previous->next) = &leg;
    leg.engine->last = &leg;
    call.by_engine.emplace_back(leg.engine, static_cast<std::uint32_t>(i));
  }
  std::ranges::sort(call.by_engine);
  if (call.coalescing) {
    actions.emplace_back(NoteCall{.msg_id = entry.first, .request = call.request});
  }
  BroadcastTargets reached = call.targets;
  if (!unknown.empty()) {
    std::vector<BroadcastTarget> known;
    std::ranges::copy_if(targets, std::back_inserter(known),
                         [&](const auto& target) { return engines_.contains(target.uuid); });
    reached = std::make_shared<const std::vector<BroadcastTarget>>(std::move(known));
  }
  if (!reached->empty()) {
    actions.emplace_back(SendLegs{.msg_id = entry.first,
                                  .coalescing = call.coalescing,
                                  .targets = std::move(reached),
                                  .request = call.request});
  }
}

void BroadcastMachine::on(BroadcastReplied& event, BroadcastActions& actions) {
  Leg* leg = find_open(event.original_msg_id, event.engine_uuid);
  if (leg == nullptr) {
    actions.emplace_back(TaskLog{LogLevel::info, "broadcast::dropped a reply of engine '" +
                                                     printable(event.engine_uuid) +
                                                     "' for a call that it does not run"});
    return;
  }
  Calls::value_type& entry = *leg->call;
  Call& call = entry.second;
  close(*leg);
  leg->succeeded = event.succeeded;
  if (!call.coalescing) {
    actions.emplace_back(ForwardLeg{.msg_id = std::move(event.original_msg_id),
                                    .engine_uuid = std::move(event.engine_uuid),
                                    .request = call.request,
                                    .reply = std::move(event.reply)});
  } else if (const std::size_t size = event.reply.frames().total_bytes();
             bytes_ + size > options_.bytes_max) {
    call.failure =
        RemoteFailure{"MemoryError",
                      "the collected results of this broadcast are larger than the controller's "
                      "limit; use a broadcast view that is not coalescing"};
  } else {
    call.bytes += size;
    bytes_ += size;
    leg->reply = std::move(event.reply);
  }
  end_if_complete(entry, actions);
}

void BroadcastMachine::on(LegUndeliverable& event, BroadcastActions& actions) {
  if (Leg* leg = find_open(event.original_msg_id, event.engine_uuid); leg != nullptr) {
    Calls::value_type& entry = *leg->call;
    lose(*leg, "cannot be reached", &actions);
    end_if_complete(entry, actions);
  }
}

std::vector<BroadcastMachine::OpenLeg> BroadcastMachine::unanswered_at(
    const std::string& engine_uuid) const {
  std::vector<OpenLeg> out;
  if (const auto engine = engines_.find(engine_uuid); engine != engines_.end()) {
    for (const Leg* leg = engine->second.first; leg != nullptr; leg = leg->next) {
      const Call& call = leg->call->second;
      out.push_back({.msg_id = leg->call->first,
                     .coalesced = call.coalescing ? call.by_engine.size() : 0,
                     .target = target_of(*leg),
                     .request = call.request});
    }
  }
  return out;
}

BroadcastMachine::Leg* BroadcastMachine::find_open(const std::string& msg_id,
                                                   const std::string& engine_uuid) {
  const auto call = calls_.find(msg_id);
  const auto engine = engines_.find(engine_uuid);
  if (call == calls_.end() || engine == engines_.end()) {
    return nullptr;
  }
  const auto& index = call->second.by_engine;
  const auto found = std::ranges::lower_bound(index, &engine->second, {},
                                              [](const auto& entry) { return entry.first; });
  if (found == index.end() || found->first != &engine->second) {
    return nullptr;
  }
  // An engine that left and came back may have got its old place in memory, but no leg is open.
  Leg& leg = call->second.legs[found->second];
  return leg.engine == &engine->second ? &leg : nullptr;
}

void BroadcastMachine::close(Leg& leg) {
  if (Engine* engine = std::exchange(leg.engine, nullptr); engine != nullptr) {
    (leg.previous == nullptr ? engine->first : leg.previous->next) = leg.next;
    (leg.next == nullptr ? engine->last : leg.next->previous) = leg.previous;
  }
  --leg.call->second.open_legs;
  --legs_;
}

const BroadcastTarget& BroadcastMachine::target_of(const Leg& leg) {
  const Call& call = leg.call->second;
  return (*call.targets)[static_cast<std::size_t>(&leg - call.legs.data())];
}

void BroadcastMachine::lose(Leg& leg, const std::string& why, BroadcastActions* tell_client) {
  close(leg);
  Call& call = leg.call->second;
  RemoteFailure failure = engine_error(target_of(leg), why);
  if (call.coalescing) {
    if (!call.failure) {
      call.failure = std::move(failure);
    }
  } else if (tell_client != nullptr) {
    tell_client->emplace_back(FailLeg{.msg_id = leg.call->first,
                                      .target = target_of(leg),
                                      .request = call.request,
                                      .failure = std::move(failure)});
  }
}

void BroadcastMachine::end_if_complete(Calls::value_type& entry, BroadcastActions& actions) {
  Call& call = entry.second;
  if (call.open_legs > 0) {
    return;
  }
  bytes_ -= call.bytes;
  if (call.coalescing) {
    SendCoalesced answer{.msg_id = entry.first,
                         .targets = std::move(call.targets),
                         .request = std::move(call.request),
                         .replies = {},
                         .failed_reply = {},
                         .failure = std::move(call.failure),
                         .tell_client = call.tell_client};
    for (Leg& leg : call.legs) {
      if (!leg.reply) {
        continue;
      }
      if (!leg.succeeded && !answer.failed_reply) {
        answer.failed_reply = answer.replies.size();
      }
      answer.replies.push_back(std::move(*leg.reply));
    }
    actions.emplace_back(std::move(answer));
  }
  calls_.erase(calls_.find(entry.first));
}

void BroadcastMachine::check_invariants() const {
  std::size_t open = 0;
  std::size_t bytes = 0;
  for (const auto& [msg_id, call] : calls_) {
    IPF_CHECK(call.open_legs > 0 && call.legs.size() == call.targets->size());
    const auto here = static_cast<std::size_t>(
        std::ranges::count_if(call.legs, [](const Leg& leg) { return leg.engine != nullptr; }));
    IPF_CHECK(here == call.open_legs);
    open += here;
    bytes += call.bytes;
  }
  std::size_t listed = 0;
  for (const auto& [uuid, engine] : engines_) {
    const Leg* previous = nullptr;
    for (const Leg* leg = engine.first; leg != nullptr; leg = leg->next) {
      IPF_CHECK(leg->engine == &engine && leg->previous == previous);
      IPF_CHECK(target_of(*leg).uuid == uuid);
      previous = leg;
      ++listed;
    }
    IPF_CHECK(engine.last == previous);
  }
  IPF_CHECK(open == legs_ && listed == legs_ && bytes == bytes_);
  IPF_CHECK(calls_.size() <= options_.calls_max && legs_ <= options_.legs_max);
  IPF_CHECK(bytes_ <= options_.bytes_max);
}

}  // namespace ipf
