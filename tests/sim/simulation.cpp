#include "sim/simulation.hpp"

#include <algorithm>
#include <utility>

namespace ipf::sim {

namespace {

constexpr Duration drain_limit = std::chrono::seconds{900};

template <class Cue>
std::uint64_t token_of(Cue cue, std::uint64_t detail) {
  return (detail << 8U) | static_cast<std::uint64_t>(cue);
}

}  // namespace

Simulation::Simulation(const SimOptions& options)
    : world_(options),
      controller_(world_,
                  {.engine =
                       [this](std::uint32_t number) {
                         return number < engines_.size() ? engines_[number].get() : nullptr;
                       },
                   .answer =
                       [this](std::uint32_t task) {
                         if (task < world_.book.size()) {
                           clients_[world_.book.plan(task).client].answers->send(task);
                         }
                       }}) {
  for (std::uint32_t i = 0; i < options.clients; ++i) {
    Client client;
    client.requests = std::make_unique<Path<std::uint32_t>>(
        world_.queue, world_.network, world_.options.delay,
        [this](std::uint32_t& task) { controller_.submit(task); });
    client.answers =
        std::make_unique<Path<std::uint32_t>>(world_.queue, world_.network, world_.options.delay,
                                              [this](std::uint32_t& task) { got_answer(task); });
    clients_.push_back(std::move(client));
  }
  controller_.start();
}

// ---- clients ------------------------------------------------------------------------------------

void Simulation::send(std::uint32_t task) {
  const auto& plan = world_.book.plan(task);
  clients_[plan.client].requests->send(task);
  if (plan.sent_twice) {
    clients_[plan.client].requests->send(task);
  }
}

void Simulation::submit_burst(std::uint32_t number) {
  Client& client = clients_[number];
  const auto burst = 1 + static_cast<std::uint32_t>(world_.behaviour.below(world_.options.burst));
  for (std::uint32_t i = 0; i < burst && client.left > 0; ++i, --client.left) {
    send(world_.book.invent(number, static_cast<std::uint32_t>(engines_.size()) + 1));
  }
  if (world_.options.direct_rate > 0 && world_.behaviour.unit() < world_.options.direct_rate) {
    controller_.direct().call(static_cast<std::uint32_t>(engines_.size()) + 1);
  }
  if (client.left > 0) {
    world_.queue.at(world_.now() + around(world_.behaviour, world_.options.submit_gap), *this,
                    token_of(Cue::burst, number));
  }
}

void Simulation::got_answer(std::uint32_t task) {
  answers_.resize(std::max<std::size_t>(answers_.size(), task + 1));
  ++answers_[task];
}

std::uint32_t Simulation::answers(std::uint32_t task) const {
  return task < answers_.size() ? answers_[task] : 0;
}

std::uint32_t Simulation::submit(TaskPlan plan) {
  const auto task = world_.book.add(std::move(plan));
  send(task);
  return task;
}

// ---- engines and faults -------------------------------------------------------------------------

SimEngine& Simulation::add_engine(bool faultless) {
  const auto number = static_cast<std::uint32_t>(engines_.size());
  engines_.push_back(std::make_unique<SimEngine>(world_, controller_, number, faultless));
  engines_.back()->on_end = [this](SimEngine& /*engine*/) { engine_ended(); };
  engines_.back()->start();
  return *engines_.back();
}

/// Most clusters start another one; at the end, when everything has to be done, all do.
void Simulation::engine_ended() {
  if (draining_ || (faults_left_ > 0 && world_.faults.below(3) != 0)) {
    world_.queue.at(world_.now() + around(world_.faults, std::chrono::milliseconds{50}), *this,
                    token_of(Cue::start, 0));
  }
}

SimEngine* Simulation::pick_engine() {
  for (int tries = 0; tries < 8 && !engines_.empty(); ++tries) {
    auto& engine = *engines_[world_.faults.below(engines_.size())];
    if (engine.alive()) {
      return &engine;
    }
  }
  return nullptr;
}

void Simulation::happen(Fault fault) {
  SimEngine* engine = pick_engine();
  if (fault == Fault::join) {
    add_engine();
  } else if (fault == Fault::restart) {
    restart_controller();
  } else if (engine != nullptr && fault == Fault::crash) {
    engine->crash();
  } else if (engine != nullptr && fault == Fault::leave) {
    engine->leave();
  } else if (engine != nullptr && fault == Fault::freeze && !engine->frozen()) {
    engine->freeze();
    world_.queue.at(world_.now() + around(world_.faults, world_.options.freeze_time), *this,
                    token_of(Cue::thaw, engine->number()));
  }
}

void Simulation::restart_controller() {
  for (auto& client : clients_) {
    client.requests->cut();
    if (world_.options.journal) {
      client.answers->cut_tail();
    } else {
      client.answers->cut();
    }
  }
  replies_lost_.resize(world_.book.size());
  controller_.restart();
  for (auto& engine : engines_) {
    engine->controller_restarted();
  }
  if (world_.options.journal) {
    send_unanswered();
  } else {
    repeat_unanswered();
  }
}

/// As our client: byte for byte, when its connection is back. Others do not, so what was under way
/// from or to them is lost; but what the journal has is run.
void Simulation::send_unanswered() {
  for (std::uint32_t task = 0; task < world_.book.size(); ++task) {
    replies_lost_[task] = true;  // it may come twice; not at all only if nobody asks again
    if (world_.options.resends && answers(task) == 0) {
      send(task);
    }
  }
}

void Simulation::repeat_unanswered() {
  std::vector<std::uint32_t> unanswered;
  const auto known = world_.book.size();
  for (std::uint32_t task = 0; task < known; ++task) {
    const auto end = ending(task);
    replies_lost_[task] = true;
    if (answers(task) == 0 && (end.lost || end.ended || end.submissions == 0) &&
        world_.faults.below(4) != 0) {
      unanswered.push_back(task);
    }
  }
  for (const auto task : unanswered) {  // as a new task: the client knows nothing of the old one
    send(world_.book.repeat(task));
  }
}

void Simulation::plan_faults() {
  const auto& options = world_.options;
  const std::vector<std::pair<Fault, std::uint32_t>> counts{{Fault::crash, options.crashes},
                                                            {Fault::freeze, options.freezes},
                                                            {Fault::leave, options.leaves},
                                                            {Fault::join, options.joins},
                                                            {Fault::restart, options.restarts}};
  const auto bursts = options.tasks / options.clients / ((options.burst + 1) / 2) + 1;
  const auto submitting = options.submit_gap * static_cast<std::int64_t>(bursts);
  const auto work = options.busy * static_cast<std::int64_t>(options.tasks / options.engines);
  const auto window = std::chrono::milliseconds{50} + std::max<Duration>(submitting, work);
  for (const auto& [kind, count] : counts) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto at =
          static_cast<std::int64_t>(world_.faults.unit() * static_cast<double>(window.count()));
      world_.queue.at(world_.now() + Duration{at}, *this, token_of(Cue::fault, faults_.size()));
      faults_.push_back(kind);
    }
  }
  faults_left_ = static_cast<std::uint32_t>(faults_.size());
}

// ---- the run ------------------------------------------------------------------------------------

void Simulation::start() {
  const auto& options = world_.options;
  for (std::uint32_t i = 0; i < options.engines; ++i) {
    const auto spread = std::chrono::microseconds{world_.faults.below(20'000)};
    world_.queue.at(world_.now() + spread, *this, token_of(Cue::start, 0));
  }
  for (std::uint32_t i = 0; i < options.clients; ++i) {
    clients_[i].left = options.tasks / options.clients;
    world_.queue.at(world_.now() + around(world_.faults, std::chrono::milliseconds{30}), *this,
                    token_of(Cue::burst, i));
  }
  plan_faults();
  world_.queue.at(world_.now() + options.query_gap, *this, token_of(Cue::query, 0));
}

void Simulation::wake(std::uint64_t token) {
  const auto detail = static_cast<std::uint32_t>(token >> 8U);
  switch (static_cast<Cue>(token & 0xFFU)) {
    case Cue::burst:
      submit_burst(detail);
      break;
    case Cue::fault:
      --faults_left_;
      happen(faults_[detail]);
      break;
    case Cue::query:
      controller_.ask_queue_status();
      if (!draining_ &&
          (world_.options.store_fault_rate > 0 || world_.options.store_delay.count() > 0)) {
        controller_.ask_history();
      }
      world_.queue.at(world_.now() + world_.options.query_gap, *this, token_of(Cue::query, 0));
      break;
    case Cue::start:
      add_engine(draining_);
      break;
    case Cue::thaw:
      engines_[detail]->thaw();
      break;
  }
}

bool Simulation::step_until(TimePoint limit, const std::function<bool()>& done) {
  while (world_.now() < limit) {
    if (done()) {
      return true;
    }
    if (!world_.queue.run_next()) {
      return done();
    }
  }
  return done();
}

void Simulation::pass(Duration time) {
  const auto until = world_.now() + time;
  step_until(until, [] { return false; });
}

bool Simulation::all_over() const {
  return controller_.task_checker().open_count() == 0 && controller_.quiet() &&
         std::all_of(clients_.begin(), clients_.end(), [](const Client& client) {
           return client.left == 0 && client.requests->in_flight() == 0 &&
                  client.answers->in_flight() == 0;
         });
}

void Simulation::drain() {
  world_.note("drains");
  draining_ = true;
  world_.draining = true;
  for (const auto& engine : engines_) {
    engine->thaw();
  }
  add_engine(true);
  add_engine(true);
  if (!step_until(world_.now() + drain_limit, [this] { return all_over(); })) {
    throw SimFailure("tasks do not end:" + controller_.task_checker().open_text());
  }
  // Whatever is late must change nothing any more, and the hub finds the last dead engine.
  pass(std::chrono::seconds{4} +
       world_.options.heartbeat_period * (static_cast<int>(world_.options.misses_max) + 3));
  check_end();
}

void Simulation::check_end() {
  controller_.check_idle();
  replies_lost_.resize(world_.book.size());
  const bool keeps_all = world_.options.record_limit >= world_.book.size();
  for (std::uint32_t task = 0; task < world_.book.size(); ++task) {
    const auto end = ending(task);
    const bool complete = end.ended && end.answers == end.submissions;
    if (!complete && !replies_lost_[task]) {
      throw SimFailure("task " + std::to_string(task) + " has " + std::to_string(end.answers) +
                       " answers for " + std::to_string(end.submissions) + " submissions");
    }
    if (answers(task) != end.answers && !replies_lost_[task]) {
      throw SimFailure("the client of task " + std::to_string(task) + " got " +
                       std::to_string(answers(task)) + " answers of " +
                       std::to_string(end.answers));
    }
    if (world_.options.journal && world_.options.resends && answers(task) == 0) {
      throw SimFailure("the client of task " + std::to_string(task) + " got no answer");
    }
    if (complete && keeps_all && !replies_lost_[task]) {
      check_record(controller_.store(), task, end);
    }
  }
}

SimReport Simulation::report(std::string failure) {
  SimReport out{.passed = failure.empty(),
                .failure = {},
                .digest = world_.trace.digest(),
                .steps = world_.queue.steps(),
                .tasks = world_.book.size(),
                .seconds = static_cast<double>(world_.now().nanoseconds) * 1e-9 - 1};
  if (!failure.empty()) {
    out.failure = std::move(failure) + "\nlast events:\n" + world_.trace.tail();
  }
  for (std::uint32_t task = 0; task < world_.book.size(); ++task) {
    const auto end = ending(task);
    out.succeeded += end.ended && end.engine != none ? 1U : 0U;
    out.lost += end.lost ? 1U : 0U;
  }
  return out;
}

SimReport Simulation::run() {
  try {
    start();
    const auto limit = world_.now() + std::chrono::seconds{3600};
    step_until(limit, [this] {
      return faults_left_ == 0 && std::all_of(clients_.begin(), clients_.end(),
                                              [](const auto& client) { return client.left == 0; });
    });
    drain();
    return report({});
  } catch (const SimFailure& failure) {
    return report(failure.what());
  }
}

}  // namespace ipf::sim
