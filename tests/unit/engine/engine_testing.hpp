#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "engine/engine_machine.hpp"

/// Builders for tests of the engine machine.
namespace ipf::engine::test {

constexpr TimePoint at_ms(std::int64_t ms) {
  return {ms * 1'000'000};
}

/// A machine with a clock; what it orders is collected, invariants are checked after each step.
class Engine {
 public:
  explicit Engine(MachineOptions options = {}) : machine(options) {}

  Actions feed(const Event& event) {
    Actions actions;
    machine.step(at_ms(now_ms), event, actions);
    machine.check_invariants();
    return actions;
  }
  /// Registered with id 3, shell started; what led there is dropped.
  Engine& serving() {
    feed(EngineStarted{});
    feed(RegistrationAccepted{.id = EngineId{3}, .ping_period = std::chrono::seconds(3)});
    feed(ShellStarted{});
    return *this;
  }
  Actions apply(std::uint64_t token, const std::string& msg_id = {}) {
    return feed(RequestArrived{
        .token = {token}, .kind = RequestKind::apply, .msg_id = named(token, msg_id)});
  }
  Actions execute(std::uint64_t token, const std::string& msg_id = {}) {
    return feed(RequestArrived{
        .token = {token}, .kind = RequestKind::execute, .msg_id = named(token, msg_id)});
  }
  Actions finish(std::uint64_t token, bool stops_queue = false) {
    return feed(RequestFinished{.token = {token}, .stops_queue = stops_queue});
  }
  /// Not inlined: GCC 12 takes temporaries of this variant for uninitialised.
  [[gnu::noinline]] Actions control(std::uint64_t token, const ControlRequest& request) {
    return feed(ControlArrived{.token = {token}, .request = request});
  }
  /// Moves the clock to the machine's next deadline and says so.
  Actions pass_deadline() {
    now_ms = (machine.next_deadline().nanoseconds + 999'999) / 1'000'000;
    return feed(TimePassed{});
  }

  EngineMachine machine;
  std::int64_t now_ms{1000};

 private:
  static std::string named(std::uint64_t token, const std::string& msg_id) {
    return msg_id.empty() ? "m" + std::to_string(token) : msg_id;
  }
};

/// The actions without the notes.
inline Actions without_notes(const Actions& actions) {
  Actions out;
  for (const auto& action : actions) {
    if (!std::holds_alternative<Note>(action)) {
      out.push_back(action);
    }
  }
  return out;
}

template <class Wanted>
std::size_t count(const Actions& actions) {
  std::size_t found = 0;
  for (const auto& action : actions) {
    found += std::holds_alternative<Wanted>(action) ? 1U : 0U;
  }
  return found;
}

inline void append(Actions& to, const Actions& from) {
  to.insert(to.end(), from.begin(), from.end());
}

}  // namespace ipf::engine::test
