#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "hub/store.hpp"
#include "hub/store_dict.hpp"
#include "sim/world.hpp"

namespace ipf::sim {

/// A database behind a thread of its own: takes changes at once, but answers late or with an error,
/// and now and then has no room for a while, as when its disk is full or slow.
class LateStore final : public Store, public Actor {
 public:
  LateStore(World& world, DictStore& records, std::function<void(StoreAnswered)> sink)
      : world_(world), records_(records), sink_(std::move(sink)) {}

  [[nodiscard]] const char* name() const override { return "LateStore"; }
  [[nodiscard]] bool keeps_records() const override { return true; }
  void apply(const std::string& msg_id, RecordChange change) override {
    records_.apply(msg_id, std::move(change));
  }
  std::optional<StoreAnswer> ask(std::uint64_t token, StoreRequest request) override {
    const bool fails = !world_.draining && world_.faults.unit() < world_.options.store_fault_rate;
    StoreAnswer answer;
    if (fails) {
      answer.failure = Error{ErrorCode::io, "the disk is full"};
    } else {
      answer = records_.ask(token, std::move(request)).value_or(StoreAnswer{});
    }
    if (world_.options.store_delay.count() == 0) {
      return answer;
    }
    if (world_.options.canary == Canary::drop_store_answer) {
      return std::nullopt;
    }
    answers_.emplace(
        ++next_, StoreAnswered{.token = token, .answer = std::make_shared<StoreAnswer>(answer)});
    world_.queue.at(world_.now() + around(world_.faults, world_.options.store_delay), *this, next_);
    return std::nullopt;
  }
  [[nodiscard]] bool has_room(TimePoint now) override {
    constexpr std::uint64_t once_in = 200;
    if (now >= full_until_ && !world_.draining && world_.options.store_fault_rate > 0 &&
        world_.faults.below(once_in) == 0) {
      full_until_ = now + around(world_.faults, std::chrono::milliseconds{50});
    }
    return now >= full_until_;
  }
  /// Its controller is gone, and so is who asked.
  void forget_questions() { answers_.clear(); }
  void wake(std::uint64_t token) override {
    if (auto found = answers_.extract(token); !found.empty()) {
      sink_(std::move(found.mapped()));
    }
  }

 private:
  World& world_;
  DictStore& records_;
  std::function<void(StoreAnswered)> sink_;
  std::map<std::uint64_t, StoreAnswered> answers_;
  std::uint64_t next_{};
  TimePoint full_until_{};
};

}  // namespace ipf::sim
