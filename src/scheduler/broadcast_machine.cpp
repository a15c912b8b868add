#include "scheduler/broadcast_machine.hpp"

#include <utility>

#include "core/check.hpp"

namespace ipf {

void BroadcastMachine::step(BroadcastEvent event, BroadcastActions& actions) {
  std::visit([&](auto& concrete) { on(concrete, actions); }, event);
}

void BroadcastMachine::on(EngineJoined& event, BroadcastActions& /*actions*/) {
  engines_.insert(event.uuid);
}

void BroadcastMachine::on(EngineLeft& event, BroadcastActions& actions) {
  engines_.erase(event.uuid);
  const auto open = open_at_.find(event.uuid);
  if (open == open_at_.end()) {
    return;
  }
  const std::set<std::string> msg_ids = std::move(open->second);
  open_at_.erase(open);
  for (const auto& msg_id : msg_ids) {
    const auto call = calls_.find(msg_id);
    IPF_CHECK(call != calls_.end());
    // Clients fail the legs of a lost engine themselves when they hear the notification.
    if (Leg* leg = find_open(call->second, event.uuid); leg != nullptr) {
      lose_leg(msg_id, call->second, *leg, false, "died while running task '" + msg_id + "'",
               actions);
    }
    end_if_complete(call, actions);
  }
}

void BroadcastMachine::on(BroadcastSubmitted& event, BroadcastActions& actions) {
  if (calls_.contains(event.msg_id)) {
    actions.emplace_back(TaskLog{
        LogLevel::warning, "broadcast::dropped a second call with the msg_id of an open one"});
    return;
  }
  const auto call = calls_
                        .emplace(event.msg_id, Call{.request = std::move(event.request),
                                                    .coalescing = event.coalescing,
                                                    .legs = {},
                                                    .open_legs = 0,
                                                    .failure = {}})
                        .first;
  std::set<std::string> seen;
  for (auto& target : event.targets) {
    if (seen.insert(target.uuid).second) {
      call->second.legs.push_back(Leg{.target = std::move(target)});
    }
  }
  call->second.open_legs = call->second.legs.size();
  for (Leg& leg : call->second.legs) {
    if (!engines_.contains(leg.target.uuid)) {
      lose_leg(event.msg_id, call->second, leg, true, "is not registered with this controller",
               actions);
      continue;
    }
    open_at_[leg.target.uuid].insert(event.msg_id);
    actions.emplace_back(
        SendLeg{.msg_id = event.msg_id, .target = leg.target, .request = call->second.request});
  }
  end_if_complete(call, actions);
}

void BroadcastMachine::on(BroadcastReplied& event, BroadcastActions& actions) {
  const auto call = calls_.find(event.original_msg_id);
  Leg* leg = call == calls_.end() ? nullptr : find_open(call->second, event.engine_uuid);
  if (leg == nullptr) {
    actions.emplace_back(TaskLog{LogLevel::info, "broadcast::dropped a reply of engine '" +
                                                     printable(event.engine_uuid) +
                                                     "' for a call that it does not run"});
    return;
  }
  leg->open = false;
  leg->succeeded = event.succeeded;
  --call->second.open_legs;
  if (const auto open = open_at_.find(event.engine_uuid); open != open_at_.end()) {
    open->second.erase(event.original_msg_id);
    if (open->second.empty()) {
      open_at_.erase(open);
    }
  }
  if (call->second.coalescing) {
    leg->reply = std::move(event.reply);
  } else {
    actions.emplace_back(
        ForwardLeg{.request = call->second.request, .reply = std::move(event.reply)});
  }
  end_if_complete(call, actions);
}

BroadcastMachine::Leg* BroadcastMachine::find_open(Call& call, const std::string& engine_uuid) {
  for (Leg& leg : call.legs) {
    if (leg.open && leg.target.uuid == engine_uuid) {
      return &leg;
    }
  }
  return nullptr;
}

void BroadcastMachine::lose_leg(const std::string& msg_id,
                                Call& call,
                                Leg& leg,
                                bool tell_client,
                                const std::string& why,
                                BroadcastActions& actions) {
  leg.open = false;
  --call.open_legs;
  RemoteFailure failure{.ename = "EngineError",
                        .evalue = "Engine '" + leg.target.uuid + "' " + why};
  if (call.coalescing) {
    if (!call.failure) {
      call.failure = std::move(failure);
    }
  } else if (tell_client) {
    actions.emplace_back(FailLeg{.msg_id = msg_id,
                                 .target = leg.target,
                                 .request = call.request,
                                 .failure = std::move(failure)});
  }
}

void BroadcastMachine::end_if_complete(Calls::iterator call, BroadcastActions& actions) {
  if (call->second.open_legs > 0) {
    return;
  }
  if (call->second.coalescing) {
    SendCoalesced answer{.msg_id = call->first,
                         .targets = {},
                         .request = std::move(call->second.request),
                         .replies = {},
                         .failed_reply = {},
                         .failure = std::move(call->second.failure)};
    for (Leg& leg : call->second.legs) {
      answer.targets.push_back(leg.target);
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
  calls_.erase(call);
}

void BroadcastMachine::check_invariants() const {
  std::size_t open_legs = 0;
  for (const auto& [msg_id, call] : calls_) {
    std::size_t open = 0;
    for (const Leg& leg : call.legs) {
      if (leg.open) {
        ++open;
        IPF_CHECK(engines_.contains(leg.target.uuid));
        const auto at = open_at_.find(leg.target.uuid);
        IPF_CHECK(at != open_at_.end() && at->second.contains(msg_id));
      }
    }
    IPF_CHECK(open > 0 && open == call.open_legs);
    open_legs += open;
  }
  std::size_t indexed = 0;
  for (const auto& [uuid, msg_ids] : open_at_) {
    IPF_CHECK(!msg_ids.empty());
    indexed += msg_ids.size();
  }
  IPF_CHECK(indexed == open_legs);
}

}  // namespace ipf
