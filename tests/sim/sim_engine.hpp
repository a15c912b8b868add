#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "sim/path.hpp"
#include "sim/world.hpp"

namespace ipf::sim {

/// What a simulated engine sends on its task connection.
struct FromEngine {
  enum class Kind : std::uint8_t { connected, disconnected, reply };
  Kind kind{Kind::reply};
  bool succeeded{true};
  bool met{true};
  bool aborted{false};
  std::uint32_t task{none};
};

/// The controller as engines reach it.
class EngineSide {
 public:
  EngineSide() = default;
  EngineSide(const EngineSide&) = delete;
  EngineSide& operator=(const EngineSide&) = delete;
  virtual ~EngineSide() = default;
  virtual void from_engine(std::uint32_t engine, const FromEngine& message) = 0;
  virtual void engine_started(std::uint32_t engine, std::uint32_t task) = 0;
  virtual void registration(std::uint32_t engine) = 0;
  virtual void unregistration(std::uint32_t engine, std::int32_t id) = 0;
  virtual void pong(std::uint32_t engine, const std::string& text) = 0;
};

/// An engine process: runs its tasks one after the other for random times, with random results;
/// answers pings from a thread of its own; can be frozen, crash, leave, and be lied about. Its
/// connections are paths of their own: task queue, outputs, registration, pings, pongs, control.
class SimEngine final : public Actor {
 public:
  /// `faultless`: meets all dependencies and survives all tasks.
  SimEngine(World& world, EngineSide& controller, std::uint32_t number, bool faultless);

  void start();
  void freeze();
  void thaw();
  /// SIGKILL. The controller may get only a part of what was sent before.
  void crash();
  /// Says good-bye and ends.
  void leave();
  /// All connections broke; they are made anew.
  void controller_restarted();
  void wake(std::uint64_t token) override;

  [[nodiscard]] bool alive() const { return alive_; }
  [[nodiscard]] bool frozen() const { return frozen_; }
  [[nodiscard]] std::uint32_t number() const { return number_; }
  [[nodiscard]] std::size_t queued() const { return queue_.size() + (busy_ ? 1U : 0U); }
  [[nodiscard]] ResourceMap capacity() const;

  // What the controller sends.
  void send_task(std::uint32_t task) { tasks_.send({.task = task}); }
  void send_abort(std::uint32_t task) { control_.send({.retired = false, .task = task}); }
  void send_retired() { control_.send({.retired = true, .task = none}); }
  void send_signal(int signal) { signals_.send(signal); }
  void send_ping(const std::string& text) { pings_.send(text); }
  void send_registration_reply(std::optional<std::int32_t> id) { admissions_.send(id); }

  std::function<void(SimEngine&)> on_end{};  ///< crashed or left

 private:
  struct Control {
    bool retired{false};
    std::uint32_t task{none};
  };
  struct Request {
    std::uint32_t task{none};
  };
  struct Registration {
    bool leave{false};
    std::int32_t id{};
  };

  void begin_next();
  void finish();
  void reply(const FromEngine& message);
  void annoy();
  void got_task(const Request& request);
  void got_control(const Control& message);
  void got_signal(int signal);
  void got_admission(std::optional<std::int32_t> id);
  void ask_to_register(Duration after);
  void end();
  [[nodiscard]] bool chance(double rate) { return rate > 0 && world_.behaviour.unit() < rate; }
  [[nodiscard]] bool meets(std::uint32_t task) const;

  World& world_;
  EngineSide& controller_;
  const std::uint32_t number_;
  const bool faultless_;
  Path<FromEngine> replies_;
  Path<std::uint32_t> notes_;
  Path<Registration> registrations_;
  Path<std::string> pongs_;
  Path<Request> tasks_;
  Path<Control> control_;
  Path<int> signals_;
  Path<std::string> pings_;
  Path<std::optional<std::int32_t>> admissions_;
  std::deque<std::uint32_t> queue_;
  std::map<std::uint32_t, std::optional<FromEngine>> seen_;  ///< requests, and what was answered
  std::uint32_t current_{none};
  std::uint32_t work_{};  ///< number of the present piece of work; old timers do not count
  std::optional<std::int32_t> id_{};
  bool alive_{true};
  bool frozen_{false};
  bool busy_{false};
  bool connected_{false};
  bool work_is_due_{false};  ///< it ended while the process was frozen
};

}  // namespace ipf::sim
