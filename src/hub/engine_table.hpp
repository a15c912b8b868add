#pragma once

#include <cstddef>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"
#include "core/result.hpp"

namespace ipf {

/// Who the engines are: their numbers, their uuids, and the registrations on the way.
///
/// | state of a uuid | in               | leaves by                                            |
/// |-----------------|------------------|------------------------------------------------------|
/// | unknown         | nothing          | begin()                                              |
/// | pending         | pending_         | complete(), cancel(), take_expired()                 |
/// | active          | by_id_, by_uuid_ | remove()                                             |
/// | lost            | lost_            | begin(): the same number again; or being the oldest  |
///
/// The rule of numbers (protocol.md 4.1): a counter from 0. A number that the engine asks for (an
/// MPI rank, IPEngine.id) is granted when nobody has it, and the counter moves behind it. A number
/// is not given to another engine later; the same engine, known by its uuid, gets its old number
/// back. A refused registration burns no number.
///
/// Invariants: a uuid is in one state; no number belongs to two of the pending and active; every
/// number in use is below `next_id`. One thread (the hub's). Pure.
class EngineTable {
 public:
  struct Options {
    Duration registration_timeout{std::chrono::seconds{30}};
    std::size_t pending_max{4096};
    std::size_t active_max{100'000};
    std::size_t lost_max{1024};  ///< lost engines whose number is remembered
    bool reuse_ids{false};       ///< give the lowest free number instead of the counter's
  };
  struct Engine {
    EngineId id{};
    std::string uuid{};
  };
  struct Pending {
    EngineId id{};
    std::string uuid{};
    TimePoint since{};
    TimePoint deadline{};
  };
  static constexpr EngineId id_max{1'000'000'000};

  explicit EngineTable(const Options& options) : options_(options) {}
  EngineTable(const EngineTable&) = delete;
  EngineTable& operator=(const EngineTable&) = delete;

  /// Takes the engine as pending. invalid_argument: the uuid is in use; unavailable: a limit.
  Result<EngineId> begin(const std::string& uuid, std::optional<EngineId> wanted, TimePoint now);
  /// The heart of a pending engine beats: it is active now.
  std::optional<Pending> complete(std::string_view uuid);
  std::optional<Pending> cancel(EngineId id);
  std::optional<Pending> cancel(std::string_view uuid);
  /// Pending engines whose time is over, oldest first.
  std::vector<Pending> take_expired(TimePoint now);
  std::optional<Engine> remove(EngineId id);
  /// Makes the engine active at once, from the state of an earlier controller. False when the
  /// number or the uuid is in use.
  bool restore(const Engine& engine);
  void raise_next_id(EngineId next);

  [[nodiscard]] std::optional<Engine> find(EngineId id) const;
  [[nodiscard]] std::optional<Engine> find(std::string_view uuid) const;
  /// Active engines by number.
  [[nodiscard]] const std::map<EngineId, std::string>& active() const { return by_id_; }
  /// The number that a lost engine had.
  [[nodiscard]] std::optional<EngineId> lost_id(std::string_view uuid) const;
  [[nodiscard]] bool is_pending(const std::string& uuid) const {
    return pending_by_uuid_.contains(uuid);
  }
  /// The number that a pending engine was told.
  [[nodiscard]] std::optional<EngineId> pending_id(const std::string& uuid) const;
  [[nodiscard]] std::size_t pending_count() const { return pending_.size(); }
  [[nodiscard]] EngineId next_id() const { return next_id_; }
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

 private:
  using PendingList = std::list<Pending>;

  [[nodiscard]] bool is_free(EngineId id) const;
  std::optional<EngineId> choose_id(const std::string& uuid, std::optional<EngineId> wanted);
  Pending take(PendingList::iterator entry);

  const Options options_;
  std::map<EngineId, std::string> by_id_;
  std::unordered_map<std::string, EngineId> by_uuid_;
  PendingList pending_;  ///< in order of deadline: the timeout is the same for all
  std::unordered_map<std::string, PendingList::iterator> pending_by_uuid_;
  std::unordered_map<EngineId, PendingList::iterator> pending_by_id_;
  std::deque<Engine> lost_;  ///< oldest first
  EngineId next_id_{};
};

}  // namespace ipf
