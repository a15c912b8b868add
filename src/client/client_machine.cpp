#include "client/client_machine.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>
#include <vector>

#include "core/check.hpp"

namespace ipf::client {

namespace {

bool has_output(Channel channel) {
  return channel == Channel::mux || channel == Channel::task || channel == Channel::broadcast;
}

ClientNote debug_note(std::string text) {
  return {LogLevel::debug, std::move(text)};
}

}  // namespace

ClientMachine::ClientMachine(ClientMachineOptions options) : options_(std::move(options)) {}

void ClientMachine::step(TimePoint now, ClientEvent event, ClientActions& actions) {
  std::visit([&](auto& happened) { on(now, happened, actions); }, event);
}

TimePoint ClientMachine::next_deadline() const {
  TimePoint next = TimePoint::never();
  if (!ask_at_.empty()) {
    next = std::min(next, ask_at_.front());
  }
  if (!expiries_.empty()) {
    next = std::min(next, expiries_.front().at);
  }
  if (close_at_) {
    next = std::min(next, *close_at_);
  }
  if (give_up_at_) {
    next = std::min(next, *give_up_at_);
  }
  return next;
}

// ---- engines ------------------------------------------------------------------------------------

void ClientMachine::on(TimePoint /*now*/, Started& /*event*/, ClientActions& actions) {
  ask_for_engines(actions);
}

void ClientMachine::ask_for_engines(ClientActions& actions) {
  NewRequest question;
  question.number = first_own_number + questions_++;
  question.type = "connection_request";
  actions.emplace_back(SendRequest{std::move(question)});
}

void ClientMachine::on(TimePoint now, EnginesListed& event, ClientActions& actions) {
  const std::uint64_t question = event.number - first_own_number;
  if (event.number < first_own_number || question >= questions_ || closed_) {
    return;
  }
  bool changed = false;
  for (const auto& engine : event.engines) {
    changed |= add_engine(engine, actions);
  }
  std::vector<std::string> missing;
  for (const auto& [uuid, state] : engines_) {
    const auto listed = [&uuid](const Engine& engine) { return engine.uuid == uuid; };
    if (now >= nobody_lost_until_ && state.known_at <= question &&
        std::ranges::none_of(event.engines, listed)) {
      missing.push_back(uuid);
    }
  }
  std::ranges::sort(missing);
  for (const auto& uuid : missing) {
    lose_engine(now, uuid, actions);
  }
  if (!listed_) {
    using std::chrono::milliseconds;
    for (const auto wait : {milliseconds(250), milliseconds(1000), milliseconds(5000)}) {
      ask_at_.push_back(now + wait);
    }
  }
  if (changed || !missing.empty() || !listed_) {
    listed_ = true;
    publish_engines(actions);
  }
}

bool ClientMachine::is_away(const std::string& engine_uuid) const {
  const auto found = engines_.find(engine_uuid);
  return found != engines_.end() && found->second.away;
}

bool ClientMachine::add_engine(const Engine& engine, ClientActions& actions) {
  const auto [found, inserted] = engines_.try_emplace(engine.uuid);
  if (inserted) {
    found->second.id = engine.id;
    found->second.known_at = questions_;
  } else if (std::exchange(found->second.away, false)) {
    actions.emplace_back(SendAgain{engine.uuid});
  }
  return inserted;
}

void ClientMachine::on(TimePoint /*now*/, EngineRegistered& event, ClientActions& actions) {
  if (!closed_ && add_engine(event.engine, actions) && listed_) {
    publish_engines(actions);
  }
}

void ClientMachine::on(TimePoint now, EngineUnregistered& event, ClientActions& actions) {
  if (!engines_.contains(event.engine.uuid)) {
    return;
  }
  lose_engine(now, event.engine.uuid, actions);
  if (listed_) {
    publish_engines(actions);
  }
}

void ClientMachine::lose_engine(TimePoint now, const std::string& uuid, ClientActions& actions) {
  const auto engine = engines_.find(uuid);
  IPF_CHECK(engine != engines_.end());
  const std::set<RequestNumber> stranded = std::move(engine->second.requests);
  for (const RequestNumber number : stranded) {
    const auto found = requests_.find(number);
    IPF_CHECK(found != requests_.end());
    found->second.engine = nullptr;
    if (found->second.waiting) {
      const std::string text = "Engine " + std::to_string(engine->second.id.value) +
                               " died while running task '" + msg_id(number, found->second, uuid) +
                               "'";
      actions.emplace_back(FailRequest{number, {.ename = "EngineError", .evalue = text}});
      settle(now, found, true, actions);
    } else {
      end_output_at(now + options_.lost_output_grace, number);
    }
  }
  engines_.erase(engine);
}

void ClientMachine::publish_engines(ClientActions& actions) const {
  PublishEngines list;
  list.engines.reserve(engines_.size());
  for (const auto& [uuid, state] : engines_) {
    list.engines.push_back({state.id, uuid});
  }
  std::ranges::sort(list.engines, {}, &Engine::id);
  actions.emplace_back(std::move(list));
}

void ClientMachine::attach(RequestNumber number, RequestState& request, EngineState* engine) {
  request.engine = engine;
  engine->requests.insert(number);
}

void ClientMachine::detach(RequestNumber number, RequestState& request) {
  if (request.engine != nullptr) {
    request.engine->requests.erase(number);
    request.engine = nullptr;
  }
}

// ---- requests -----------------------------------------------------------------------------------

void ClientMachine::on(TimePoint /*now*/, RequestSubmitted& event, ClientActions& actions) {
  const RequestNumber number = event.request.number;
  const Channel channel = event.request.channel;
  IPF_CHECK(number < first_own_number && !requests_.contains(number));
  const bool direct = channel != Channel::task && channel != Channel::query;
  const auto engine = direct ? engines_.find(event.request.target) : engines_.end();
  if (closed_ || (direct && engine == engines_.end())) {
    RemoteFailure failure{.ename = "ClientClosed", .evalue = "the client is closed"};
    if (!closed_) {
      failure = {.ename = "EngineError",
                 .evalue = "Engine '" + event.request.target +
                           "' is not registered any more; it did not get '" +
                           options_.msg_id_prefix + std::to_string(number) + "'"};
    }
    actions.emplace_back(FailRequest{number, std::move(failure)});
    actions.emplace_back(EndOutput{number});
    return;
  }
  RequestState& request = requests_[number];
  request.channel = channel;
  request.output_open = has_output(channel);
  request.early = !heard_output_;
  request.broadcast = event.request.broadcast;
  if (direct) {
    attach(number, request, &engine->second);
  }
  actions.emplace_back(SendRequest{std::move(event.request)});
}

void ClientMachine::on(TimePoint now, ReplyArrived& event, ClientActions& actions) {
  const auto found = requests_.find(event.number);
  if (found == requests_.end() || !found->second.waiting) {
    actions.emplace_back(debug_note("dropped a reply to request " + std::to_string(event.number) +
                                    ", which has its result already"));
    return;
  }
  if (found->second.engine == nullptr && found->second.output_open && event.output_follows) {
    const auto engine = engines_.find(event.engine_uuid);
    if (engine != engines_.end()) {
      attach(event.number, found->second, &engine->second);
    }
  }
  actions.emplace_back(CompleteRequest{event.number, event.status, std::move(event.reply)});
  settle(now, found, event.output_follows, actions);
}

void ClientMachine::settle(TimePoint now,
                           Requests::iterator found,
                           bool output_follows,
                           ClientActions& actions) {
  const RequestNumber number = found->first;
  RequestState& request = found->second;
  request.waiting = false;
  if (!has_output(request.channel)) {
    actions.emplace_back(EndOutput{number});
  } else if (request.output_open && !output_follows) {
    request.output_open = false;
    actions.emplace_back(EndOutput{number});
  }
  if (!request.output_open) {
    forget_if_finished(found);
    return;
  }
  if (request.engine == nullptr) {
    // Its engine is gone, or was never announced to us: nobody may be left to end the output.
    end_output_at(now + options_.lost_output_grace, number);
  } else if (request.early) {
    end_output_at(now + options_.first_output_grace, number);
  }
  keep_open(number, actions);
}

void ClientMachine::keep_open(RequestNumber number, ClientActions& actions) {
  open_.push_back(number);
  ++open_count_;
  while (!open_.empty()) {
    const auto oldest = requests_.find(open_.front());
    const bool ended = oldest == requests_.end() || !oldest->second.output_open;
    if (!ended && open_count_ <= options_.open_outputs_max) {
      break;
    }
    open_.pop_front();
    if (!ended) {
      actions.emplace_back(
          ClientNote{LogLevel::warning, "gave up waiting for the end of the output of request " +
                                            std::to_string(oldest->first) + ": too many are open"});
      end_output(oldest, actions);
    }
  }
  constexpr std::size_t slack = 1024;
  if (open_.size() > 2 * open_count_ + slack) {
    std::erase_if(open_, [this](RequestNumber each) {
      const auto kept = requests_.find(each);
      return kept == requests_.end() || !kept->second.output_open;
    });
  }
}

void ClientMachine::on(TimePoint /*now*/, OutputPublished& event, ClientActions& actions) {
  heard_output_ = true;
  const auto found = requests_.find(event.number);
  if (found == requests_.end() || !found->second.output_open) {
    return;
  }
  RequestState& request = found->second;
  const std::size_t bytes = event.message.frames().total_bytes();
  if (request.output_bytes + bytes > options_.output_bytes_max) {
    if (!request.truncated) {
      request.truncated = true;
      actions.emplace_back(MarkTruncated{event.number});
    }
    return;
  }
  request.output_bytes += bytes;
  actions.emplace_back(KeepOutput{event.number, std::move(event.type), std::move(event.message)});
}

void ClientMachine::on(TimePoint /*now*/, OutputEnded& event, ClientActions& actions) {
  heard_output_ = true;
  const auto found = requests_.find(event.number);
  if (found != requests_.end() && found->second.output_open) {
    end_output(found, actions);
  }
}

void ClientMachine::end_output(Requests::iterator found, ClientActions& actions) {
  found->second.output_open = false;
  if (!found->second.waiting) {
    --open_count_;
  }
  actions.emplace_back(EndOutput{found->first});
  forget_if_finished(found);
}

void ClientMachine::end_output_at(TimePoint at, RequestNumber number) {
  const auto place = std::ranges::upper_bound(expiries_, at, {}, &Expiry::at);
  expiries_.insert(place, {at, number});
}

std::string ClientMachine::msg_id(RequestNumber number,
                                  const RequestState& request,
                                  const std::string& target) const {
  if (request.broadcast) {
    return options_.msg_id_prefix + part_id(*request.broadcast, target);
  }
  return options_.msg_id_prefix + std::to_string(number);
}

void ClientMachine::forget_if_finished(Requests::iterator found) {
  if (!found->second.waiting && !found->second.output_open) {
    detach(found->first, found->second);
    requests_.erase(found);
  }
}

// ---- time and end -------------------------------------------------------------------------------

void ClientMachine::on(TimePoint now, HubLost& /*event*/, ClientActions& actions) {
  if (closed_) {
    return;
  }
  give_up_at_ = now + options_.hub_patience;
  for (auto& [uuid, engine] : engines_) {
    engine.away = true;
  }
  std::vector<RequestNumber> questions;
  for (const auto& [number, request] : requests_) {
    const bool kept = request.channel != Channel::query && request.channel != Channel::broadcast;
    if (!kept && request.waiting) {
      questions.push_back(number);
    }
  }
  std::ranges::sort(questions);
  for (const RequestNumber number : questions) {
    actions.emplace_back(FailRequest{
        number,
        {.ename = "ConnectionError",
         .evalue = "the connection to the controller broke before it answered; it may have done "
                   "what it was asked"}});
    settle(now, requests_.find(number), false, actions);
  }
}

void ClientMachine::on(TimePoint now, HubFound& /*event*/, ClientActions& actions) {
  if (!give_up_at_) {
    return;  // the first time: Started has asked
  }
  give_up_at_.reset();
  nobody_lost_until_ = now + options_.engine_return;
  ask_for_engines(actions);
  ask_at_.clear();
  for (const Duration wait : {options_.engine_return / 4, options_.engine_return}) {
    ask_at_.push_back(now + wait);
  }
}

void ClientMachine::on(TimePoint now, ControllerShutDown& /*event*/, ClientActions& /*actions*/) {
  // The reply to our own shutdown_request takes another connection and may still be under way.
  if (!close_at_ && !closed_) {
    close_at_ = now + options_.shutdown_grace;
  }
}

void ClientMachine::on(TimePoint now, TimePassed& /*event*/, ClientActions& actions) {
  while (!ask_at_.empty() && ask_at_.front() <= now) {
    ask_at_.pop_front();
    ask_for_engines(actions);
  }
  while (!expiries_.empty() && expiries_.front().at <= now) {
    const auto found = requests_.find(expiries_.front().number);
    expiries_.pop_front();
    if (found != requests_.end() && found->second.output_open) {
      end_output(found, actions);
    }
  }
  if (give_up_at_ && *give_up_at_ <= now) {
    give_up_at_.reset();
    actions.emplace_back(CloseClient{
        "the controller has been out of reach for " +
        std::to_string(
            std::chrono::duration_cast<std::chrono::seconds>(options_.hub_patience).count()) +
        " seconds"});
  }
  if (close_at_ && *close_at_ <= now) {
    close_at_.reset();
    actions.emplace_back(CloseClient{"the controller shut down"});
  }
}

void ClientMachine::on(TimePoint /*now*/, Closed& event, ClientActions& actions) {
  std::vector<RequestNumber> numbers;
  numbers.reserve(requests_.size());
  for (const auto& [number, request] : requests_) {
    numbers.push_back(number);
  }
  std::ranges::sort(numbers);
  for (const RequestNumber number : numbers) {
    const RequestState& request = requests_.at(number);
    if (request.waiting) {
      actions.emplace_back(FailRequest{number, {.ename = "ClientClosed", .evalue = event.reason}});
    }
    if (request.output_open || !has_output(request.channel)) {
      actions.emplace_back(EndOutput{number});
    }
  }
  requests_.clear();
  engines_.clear();
  open_.clear();
  open_count_ = 0;
  expiries_.clear();
  ask_at_.clear();
  close_at_.reset();
  give_up_at_.reset();
  closed_ = true;
}

void ClientMachine::check_invariants() const {
  std::size_t attached = 0;
  std::size_t open = 0;
  for (const auto& [number, request] : requests_) {
    IPF_CHECK(request.waiting || request.output_open);
    IPF_CHECK(has_output(request.channel) || !request.output_open);
    IPF_CHECK(request.output_bytes <= options_.output_bytes_max);
    open += request.output_open && !request.waiting ? 1 : 0;
    if (request.engine != nullptr) {
      IPF_CHECK(request.engine->requests.contains(number));
      ++attached;
    }
  }
  std::size_t named = 0;
  for (const auto& [uuid, engine] : engines_) {
    named += engine.requests.size();
    for (const RequestNumber number : engine.requests) {
      IPF_CHECK(requests_.at(number).engine == &engine);
    }
  }
  IPF_CHECK(named == attached);
  IPF_CHECK(open == open_count_ && open_count_ <= options_.open_outputs_max);
  IPF_CHECK(std::ranges::is_sorted(expiries_, {}, &Expiry::at));
  IPF_CHECK(!closed_ || (requests_.empty() && engines_.empty()));
}

}  // namespace ipf::client
