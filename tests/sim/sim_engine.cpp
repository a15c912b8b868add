#include "sim/sim_engine.hpp"

#include <algorithm>
#include <csignal>
#include <string>

#include "sim/trace.hpp"

namespace ipf::sim {

namespace {
constexpr std::uint64_t register_token = ~std::uint64_t{0};
}  // namespace

SimEngine::SimEngine(World& world, EngineSide& controller, std::uint32_t number, bool faultless)
    : world_(world),
      controller_(controller),
      number_(number),
      faultless_(faultless),
      replies_(world.queue,
               world.network,
               world.options.delay,
               [this](FromEngine& message) { controller_.from_engine(number_, message); }),
      notes_(world.queue,
             world.network,
             world.options.delay,
             [this](std::uint32_t& task) { controller_.engine_started(number_, task); }),
      registrations_(world.queue,
                     world.network,
                     world.options.delay,
                     [this](Registration& message) {
                       if (message.leave) {
                         controller_.unregistration(number_, message.id);
                       } else {
                         controller_.registration(number_);
                       }
                     }),
      pongs_(world.queue,
             world.network,
             world.options.delay,
             [this](std::string& text) { controller_.pong(number_, text); }),
      tasks_(world.queue,
             world.network,
             world.options.delay,
             [this](Request& request) { got_task(request); }),
      control_(world.queue,
               world.network,
               world.options.delay,
               [this](Control& message) { got_control(message); }),
      signals_(world.queue,
               world.network,
               world.options.delay,
               [this](int& signal) { got_signal(signal); }),
      pings_(world.queue,
             world.network,
             world.options.delay,
             [this](std::string& text) {
               if (!chance(world_.options.pong_loss) || world_.draining) {
                 pongs_.send(text);
               }
             }),
      admissions_(
          world.queue, world.network, world.options.delay, [this](std::optional<std::int32_t>& id) {
            got_admission(id);
          }) {}

ResourceMap SimEngine::capacity() const {
  return faultless_ ? full_capacity() : capacity_of(number_);
}

// ---- life ---------------------------------------------------------------------------------------

void SimEngine::start() {
  world_.note("engine starts", none, number_);
  registrations_.send({.leave = false, .id = 0});
}

void SimEngine::ask_to_register(Duration after) {
  world_.queue.at(world_.now() + after, *this, register_token);
}

void SimEngine::got_admission(std::optional<std::int32_t> id) {
  if (!id) {  // its uuid is in use: the controller knows it still
    if (!connected_) {
      throw SimFailure("engine " + std::to_string(number_) + " cannot get its number");
    }
    return;
  }
  id_ = id;
  if (!connected_) {
    connected_ = true;
    replies_.send({.kind = FromEngine::Kind::connected});
  }
}

void SimEngine::freeze() {
  if (!alive_ || frozen_) {
    return;
  }
  world_.note("engine freezes", none, number_);
  frozen_ = true;
  tasks_.pause();
  control_.pause();
  pings_.pause();
  admissions_.pause();
}

void SimEngine::thaw() {
  if (!alive_ || !frozen_) {
    return;
  }
  world_.note("engine wakes up", none, number_);
  frozen_ = false;
  tasks_.resume();
  control_.resume();
  pings_.resume();
  admissions_.resume();
  if (work_is_due_) {
    work_is_due_ = false;
    finish();
  }
}

void SimEngine::end() {
  alive_ = false;
  frozen_ = false;
  ++work_;
  tasks_.cut();
  control_.cut();
  signals_.cut();
  pings_.cut();
  admissions_.cut();
  queue_.clear();
  busy_ = false;
  replies_.send({.kind = FromEngine::Kind::disconnected});
  if (on_end) {
    on_end(*this);
  }
}

void SimEngine::crash() {
  if (!alive_) {
    return;
  }
  world_.note("engine crashes", none, number_);
  replies_.cut_tail();
  notes_.cut_tail();
  pongs_.cut_tail();
  registrations_.cut_tail();
  if (id_ && world_.behaviour.below(2) == 0) {  // its nanny saw it
    registrations_.send({.leave = true, .id = *id_});
  }
  end();
}

void SimEngine::leave() {
  if (!alive_ || frozen_ || !id_) {
    return;
  }
  world_.note("engine leaves", none, number_);
  registrations_.send({.leave = true, .id = *id_});
  end();
}

void SimEngine::controller_restarted() {
  if (!alive_) {
    return;
  }
  replies_.cut_tail();
  notes_.cut();
  pongs_.cut();
  if (world_.options.journal) {
    tasks_.cut_tail();  // what had left the controller arrives
  } else {
    tasks_.cut();
  }
  pings_.cut();
  control_.cut();
  admissions_.cut();
  if (connected_) {
    replies_.send({.kind = FromEngine::Kind::connected});
  } else {
    registrations_.cut();
    ask_to_register(std::chrono::milliseconds{10});
  }
}

// ---- work ---------------------------------------------------------------------------------------

/// A copy of what it has seen is dropped, or answered as before; not of what it left out.
void SimEngine::got_task(const Request& request) {
  const auto [known, is_new] = seen_.try_emplace(request.task);
  if (!is_new) {
    if (known->second) {
      reply(*known->second);
    }
    return;
  }
  queue_.push_back(request.task);
  begin_next();
}

void SimEngine::begin_next() {
  if (busy_ || queue_.empty() || frozen_ || !alive_) {
    return;
  }
  current_ = queue_.front();
  queue_.pop_front();
  busy_ = true;
  world_.note("runs", current_, number_);
  world_.runs.begin(current_, world_.book.wish(current_).retries > 0);
  if (world_.options.started_notes) {
    notes_.send(current_);
  }
  const auto time = around(world_.behaviour, world_.options.busy);
  world_.queue.at(world_.now() + time, *this, ++work_);
}

void SimEngine::wake(std::uint64_t token) {
  if (!alive_) {
    return;
  }
  if (token == register_token) {
    registrations_.send({.leave = false, .id = 0});
  } else if (token == work_ && busy_) {
    if (frozen_) {
      work_is_due_ = true;
    } else {
      finish();
    }
  }
}

/// A functional dependency, say a module that can be imported there or not: the same each time.
bool SimEngine::meets(std::uint32_t task) const {
  if (faultless_ || world_.options.unmet_rate <= 0) {
    return true;
  }
  Rng pair((std::uint64_t{task} << 32U | number_) ^ world_.options.seed);
  return pair.unit() >= world_.options.unmet_rate;
}

void SimEngine::finish() {
  const auto task = current_;
  if (world_.book.wish(task).kills && !faultless_) {
    return crash();
  }
  busy_ = false;
  current_ = none;
  const bool met = meets(task);
  if (!met) {
    world_.runs.allow_again(task);
  }
  reply({.kind = FromEngine::Kind::reply,
         .succeeded = met && !chance(world_.options.error_rate),
         .met = met,
         .aborted = false,
         .task = task});
  if (chance(world_.options.hostile_rate)) {
    annoy();
  }
  begin_next();
}

void SimEngine::reply(const FromEngine& message) {
  world_.note(message.aborted ? "replies: aborted"
              : !message.met  ? "replies: unmet"
                              : (message.succeeded ? "replies: ok" : "replies: error"),
              message.task, number_);
  if (const auto seen = seen_.find(message.task); seen != seen_.end()) {
    seen->second = message;
  }
  replies_.send(message);
}

/// Says something about a task that it does not run: an old one, another one's, an unknown one. It
/// does not lie about what it has: nobody could tell that from the truth.
void SimEngine::annoy() {
  const auto task = static_cast<std::uint32_t>(world_.behaviour.below(world_.book.size() + 2));
  if (std::find(queue_.begin(), queue_.end(), task) != queue_.end() || tasks_.in_flight() > 0) {
    return;
  }
  world_.note("says nonsense", task, number_);
  world_.runs.allow_again(task);  // it may say that its dependencies are unmet
  replies_.send({.kind = FromEngine::Kind::reply,
                 .succeeded = world_.behaviour.below(2) == 0,
                 .met = world_.behaviour.below(2) == 0,
                 .aborted = world_.behaviour.below(4) == 0,
                 .task = task});
}

void SimEngine::got_control(const Control& message) {
  if (message.retired) {
    ask_to_register(around(world_.behaviour, std::chrono::milliseconds{20}));
    return;
  }
  const auto queued = std::find(queue_.begin(), queue_.end(), message.task);
  if (queued != queue_.end()) {
    queue_.erase(queued);
    reply({.kind = FromEngine::Kind::reply,
           .succeeded = false,
           .met = true,
           .aborted = true,
           .task = message.task});
    seen_.erase(message.task);
  }
}

/// SIGINT ends what runs at that time, if Python listens; nobody knows whether it is the right
/// task.
void SimEngine::got_signal(int signal) {
  if (!alive_) {
    return;
  }
  if (signal == SIGKILL) {
    return crash();
  }
  if (!busy_ || frozen_ || world_.behaviour.below(3) == 0) {
    return;
  }
  const auto task = current_;
  busy_ = false;
  current_ = none;
  ++work_;
  reply({.kind = FromEngine::Kind::reply,
         .succeeded = false,
         .met = true,
         .aborted = false,
         .task = task});
  begin_next();
}

}  // namespace ipf::sim
