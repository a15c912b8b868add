#include "sim/direct_lane.hpp"

#include <algorithm>
#include <variant>

#include "sim/trace.hpp"

namespace ipf::sim {

namespace {

/// As PairRelay waits for replies of an engine that has left.
constexpr Duration on_the_way = std::chrono::seconds{2};
constexpr std::uint32_t legs_max = 16;

}  // namespace

bool DirectLane::Call::is_open() const {
  return std::ranges::any_of(legs, [](const auto& leg) { return leg.second == Leg::open; });
}

void DirectLane::fail(const std::string& msg_id, const std::string& why) {
  throw SimFailure("broadcast " + std::to_string(task_number(msg_id)) + ": " + why);
}

// ---- clients, network, engines ------------------------------------------------------------------

void DirectLane::call(std::uint32_t engines) {
  if (world_.behaviour.below(2) == 0) {
    broadcast(engines);
  } else {
    direct(static_cast<std::uint32_t>(world_.behaviour.below(engines)));
  }
}

void DirectLane::broadcast(std::uint32_t engines) {
  const std::uint32_t number = next_call_++;
  Call& call = calls_[number];
  call.coalescing = world_.behaviour.below(2) == 0;
  BroadcastSubmitted submitted{.msg_id = task_name(number),
                               .coalescing = call.coalescing,
                               .targets = {},
                               .request = request_message(number, 0, world_.wall())};
  for (std::uint32_t i = 1 + static_cast<std::uint32_t>(world_.behaviour.below(legs_max)); i > 0;
       --i) {
    const auto engine = static_cast<std::uint32_t>(world_.behaviour.below(engines + 1));
    submitted.targets.push_back(
        {.uuid = engine_name(engine), .id = EngineId{static_cast<std::int32_t>(engine)}});
    if (call.legs.emplace(engine, Leg::open).second) {
      call.targets.push_back(engine);
    }
  }
  world_.note("broadcast", number);
  step(std::move(submitted));
}

void DirectLane::direct(std::uint32_t engine) {
  const std::uint32_t number = next_call_++;
  if (!here_.contains(engine)) {
    return;  // the client is told that nobody knows it
  }
  if (open_->open(task_name(number), engine_name(engine), 100) != OpenRequests::Opened::yes) {
    throw SimFailure("a direct message is refused though there is room");
  }
  messages_.emplace(number, engine);
  later(to_engine_[engine], [this, number, engine] {
    at_engine(engine, [this, number, engine] {
      for (auto left = world_.behaviour.below(20) == 0 ? 2 : 1; left > 0; --left) {
        later(from_engine_[engine], [this, number, engine] { direct_reply(number, engine); });
      }
    });
  });
}

void DirectLane::later(TimePoint& last, std::function<void()> what) {
  last = std::max(last, world_.now() + world_.options.delay.draw(world_.network));
  events_.emplace(++next_event_, std::move(what));
  world_.queue.at(last, *this, next_event_);
}

void DirectLane::wake(std::uint64_t token) {
  auto found = events_.extract(token);
  if (!found.empty()) {
    found.mapped()();
  }
}

/// A message has arrived: a dead engine does nothing, a frozen one waits, others take their time.
void DirectLane::at_engine(std::uint32_t engine, const std::function<void()>& work) {
  const auto soon = [this](Duration after, std::function<void()> what) {
    events_.emplace(++next_event_, std::move(what));
    world_.queue.at(world_.now() + after, *this, next_event_);
  };
  soon(around(world_.behaviour, world_.options.busy), [this, engine, work, soon] {
    SimEngine* there = engine_(engine);
    if (there == nullptr || !there->alive()) {
      return;
    }
    if (there->frozen()) {
      soon(std::chrono::milliseconds{5}, [this, engine, work] { at_engine(engine, work); });
    } else {
      work();
    }
  });
}

void DirectLane::leg_reply(std::uint32_t call, std::uint32_t engine, bool succeeded) {
  replied_ = {call, engine};
  if (const auto known = calls_.find(call); known != calls_.end() && known->second.coalescing) {
    Leg& leg = known->second.legs[engine];
    leg = leg == Leg::open ? Leg::answered : leg;  // the machine keeps the reply
  }
  step(BroadcastReplied{.original_msg_id = task_name(call),
                        .engine_uuid = engine_name(engine),
                        .succeeded = succeeded,
                        .reply = reply_message(call, 0, engine)});
  replied_.reset();
}

void DirectLane::direct_reply(std::uint32_t message, std::uint32_t engine) {
  const auto asked = messages_.find(message);
  const bool awaited = asked != messages_.end();
  if (open_->close(task_name(message), engine_name(engine)) != awaited) {
    throw SimFailure("direct message " + std::to_string(message) +
                     (awaited ? ": its reply is refused" : ": a second reply is taken"));
  }
  if (awaited) {
    messages_.erase(asked);
    ++ended_;
  }
}

// ---- the controller -----------------------------------------------------------------------------

void DirectLane::joined(std::uint32_t engine) {
  here_.insert(engine);
  step(EngineJoined{.uuid = engine_name(engine)});
}

void DirectLane::left(std::uint32_t engine) {
  here_.erase(engine);
  for (auto& [number, call] : calls_) {
    const auto leg = call.legs.find(engine);
    if (leg != call.legs.end() && leg->second == Leg::open) {
      leg->second = Leg::lost;
    }
  }
  if (world_.options.canary != Canary::drop_broadcast_left) {
    step(EngineLeft{.uuid = engine_name(engine)});
  }
  events_.emplace(++next_event_, [this, engine] {
    if (!here_.contains(engine)) {
      open_->forget(engine_name(engine));
      std::erase_if(messages_, [engine](const auto& entry) { return entry.second == engine; });
    }
  });
  world_.queue.at(world_.now() + on_the_way, *this, next_event_);
}

/// The next controller knows none of them: replies that come are for nobody here.
void DirectLane::restart() {
  broadcasts_ = std::make_unique<BroadcastMachine>();
  open_ = std::make_unique<OpenRequests>();
  here_.clear();
  calls_.clear();
  messages_.clear();
}

void DirectLane::step(BroadcastEvent event) {
  BroadcastActions actions;
  broadcasts_->step(std::move(event), actions);
  broadcasts_->check_invariants();
  open_->check_invariants();
  for (const auto& action : actions) {
    std::visit([this](const auto& concrete) { see(concrete); }, action);
  }
  std::size_t legs = 0;
  std::size_t open = 0;
  for (auto at = calls_.begin(); at != calls_.end();) {
    const Call& call = at->second;
    if (call.is_open()) {
      ++open;
      legs += static_cast<std::size_t>(std::ranges::count_if(
          call.legs, [](const auto& leg) { return leg.second == Leg::open; }));
      ++at;
      continue;
    }
    if (call.coalescing && !call.answered) {
      fail(task_name(at->first), "all its legs have ended, but it has no answer");
    }
    ++ended_;
    at = calls_.erase(at);
  }
  if (broadcasts_->open_calls() != open || broadcasts_->open_legs() != legs) {
    throw SimFailure("the broadcast machine counts " + std::to_string(broadcasts_->open_calls()) +
                     " calls and " + std::to_string(broadcasts_->open_legs()) +
                     " legs, but there are " + std::to_string(open) + " and " +
                     std::to_string(legs));
  }
}

DirectLane::Call& DirectLane::call_of(const std::string& msg_id) {
  const auto found = calls_.find(task_number(msg_id));
  if (found == calls_.end()) {
    fail(msg_id, "something is ordered for a call that has ended or never was");
  }
  return found->second;
}

void DirectLane::see(const SendLegs& action) {
  const auto number = task_number(action.msg_id);
  const Call& call = call_of(action.msg_id);
  for (const auto& target : *action.targets) {
    const auto engine = engine_number(target.uuid);
    const auto leg = call.legs.find(engine);
    if (leg == call.legs.end() || leg->second != Leg::open || !here_.contains(engine)) {
      fail(action.msg_id, "a leg is sent to an engine that it does not name or that is not here");
    }
    later(to_engine_[engine], [this, number, engine] {
      at_engine(engine, [this, number, engine] {
        const bool succeeded = world_.behaviour.unit() >= world_.options.error_rate;
        for (auto left = world_.behaviour.below(20) == 0 ? 2 : 1; left > 0; --left) {
          later(from_engine_[engine],
                [this, number, engine, succeeded] { leg_reply(number, engine, succeeded); });
        }
      });
    });
  }
  // The others are nobody's.
  for (auto& [engine, leg] : calls_[number].legs) {
    if (leg == Leg::open && !here_.contains(engine)) {
      if (!call.coalescing) {
        fail(action.msg_id, "a leg to an unknown engine got no error");
      }
      leg = Leg::failed;
    }
  }
  if (call.coalescing && replied_) {
    fail(action.msg_id, "legs are sent by a reply");
  }
}

void DirectLane::see(const ForwardLeg& action) {
  const auto engine = engine_number(action.engine_uuid);
  Leg& leg = call_of(action.msg_id).legs[engine];
  if (leg != Leg::open || replied_ != std::pair(task_number(action.msg_id), engine)) {
    fail(action.msg_id, "a reply is forwarded that did not come, or twice");
  }
  leg = Leg::answered;
}

void DirectLane::see(const FailLeg& action) {
  const auto engine = engine_number(action.target.uuid);
  Leg& leg = call_of(action.msg_id).legs[engine];
  if (leg != Leg::open || here_.contains(engine)) {
    fail(action.msg_id, "a leg fails though its engine is here");
  }
  leg = Leg::failed;
}

void DirectLane::see(const SendCoalesced& action) {
  Call& call = call_of(action.msg_id);
  const auto number = task_number(action.msg_id);
  if (!call.coalescing || std::exchange(call.answered, true)) {
    fail(action.msg_id, "answered as a whole twice, or it is not coalescing");
  }
  std::vector<std::string_view> expected;
  std::vector<std::string> texts;
  bool any_lost = false;
  for (const auto engine : call.targets) {
    Leg& leg = call.legs[engine];
    const bool unknown = leg == Leg::open && !here_.contains(engine);
    leg = unknown ? Leg::failed : leg;
    any_lost = any_lost || leg == Leg::lost || leg == Leg::failed;
    if (leg == Leg::open) {
      fail(action.msg_id, "answered before all legs have ended");
    }
    if (leg == Leg::answered) {
      texts.push_back(result_text(number, engine));
    }
  }
  const bool in_order = std::ranges::equal(
      action.replies, texts, {}, [](const Message& reply) { return std::string(reply.buffer(0)); });
  if (!in_order || action.failure.has_value() != any_lost) {
    fail(action.msg_id, "the whole answer is not that of its legs in target order");
  }
}

void DirectLane::check_idle() const {
  if (broadcasts_->open_calls() != 0 || broadcasts_->open_legs() != 0 || open_->count() != 0) {
    throw SimFailure("broadcasts or direct messages are open at the end");
  }
}

}  // namespace ipf::sim
