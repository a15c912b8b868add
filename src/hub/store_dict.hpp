#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "hub/compact_record.hpp"
#include "hub/record_change.hpp"
#include "hub/record_keys.hpp"
#include "hub/store.hpp"
#include "protocol/json_members.hpp"

namespace ipf {

/// DictDB: task records in memory, within limits (protocol.md 7.3).
///
/// Over `record_limit` records, or over `size_limit` bytes held by them (frames and outputs, not
/// only buffers: what matters is the memory), the oldest finished records are culled, oldest by
/// the time of their last change, until `cull_fraction` of the limit is free. Only when no finished
/// record is left are unfinished ones culled, in order of submission. An unfinished record that was
/// culled comes back as a partial one when its reply passes.
///
/// | a record is | as                 | from              | until                            |
/// |-------------|--------------------|-------------------|----------------------------------|
/// | unfinished  | the frames as seen | its request       | its reply                        |
/// | recent      | the frames as seen | finished, changed | `recent_max` later ones          |
/// | packed      | CompactRecord      | recent            | a late change makes it recent    |
///
/// Order of submission is the order in which the requests passed the controller, which unlike the
/// clients' clocks is one order. A record that began with an output takes its place when the
/// request passes.
///
/// Invariants: each record is in one list, and packed iff it is in the last; `bytes_` is the sum of
/// what the records hold. One thread. A change costs O(1), amortised over culling; a query looks
/// msg_ids up, and else at the RecordKeys of every record, which takes 10 ms for 100,000.
class DictStore final : public Store {
 public:
  struct Options {
    std::size_t record_limit{100'000};
    std::size_t size_limit{1UL << 30U};
    double cull_fraction{0.1};  ///< in (0, 1]; at least one record goes
    std::size_t recent_max{64};
    RecordLimits record{};
  };

  explicit DictStore(const Options& options) : options_(options) {}
  DictStore() : DictStore(Options{}) {}

  [[nodiscard]] const char* name() const override { return "DictDB"; }
  [[nodiscard]] bool keeps_records() const override { return true; }
  void apply(const std::string& msg_id, RecordChange change) override;
  [[nodiscard]] std::optional<StoreAnswer> ask(std::uint64_t token, StoreRequest request) override;
  [[nodiscard]] StoreFigures figures() const override {
    return {.records = record_count(), .bytes = bytes_, .culled = culled_};
  }

  /// Nothing when there is no such record (never stored, culled or purged).
  [[nodiscard]] std::optional<TaskRecord> get(const std::string& msg_id) const;
  /// Records that match, in order of submission; too_large when they are more than `most`.
  [[nodiscard]] Result<std::vector<TaskRecord>> find(
      const StoreQuery& query, std::size_t most = std::numeric_limits<std::size_t>::max()) const;
  /// Removes matching records and says how many.
  std::size_t drop(const StoreQuery& query);
  bool drop_one(const std::string& msg_id);
  /// msg_ids whose request passed, in order of submission.
  [[nodiscard]] std::vector<std::string> history() const;

  [[nodiscard]] std::size_t record_count() const { return by_id_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t culled_count() const { return culled_; }
  void check_invariants() const;

 private:
  enum class State { unfinished, recent, packed };
  struct Entry {
    std::string msg_id{};
    std::uint64_t place{};  ///< rises in order of submission
    std::size_t bytes{};
    std::unique_ptr<TaskRecord> record{};  ///< unless packed
    std::optional<CompactRecord> packed{};
    RecordKeys keys{};
    bool keys_known{false};
    State state{State::unfinished};
  };
  using Entries = std::list<Entry>;
  struct Match {
    Entries::iterator entry{};
    TaskRecord record{};
  };

  [[nodiscard]] Entries& list_of(State state) const;
  void move(Entries::iterator entry, State to) const;
  void unpack(Entries::iterator entry) const;
  void pack(Entries::iterator entry);
  void recount(Entry& entry);
  [[nodiscard]] static TaskRecord record_of(const Entry& entry);
  const RecordKeys& keys(Entry& entry) const;
  /// What matches, in order of submission; stops behind `most`.
  [[nodiscard]] std::vector<Match> matching(const StoreQuery& query, std::size_t most) const;
  void settle(Entries::iterator entry);
  void erase(Entries::iterator entry);
  void cull();
  void cull_one();

  const Options options_;
  // mutable: matching() hands out iterators and remembers keys; only non-const members change more.
  mutable Entries unfinished_;
  mutable Entries recent_;
  mutable Entries packed_;
  std::unordered_map<std::string_view, Entries::iterator> by_id_;  ///< by Entry::msg_id
  mutable JsonMembers reader_;
  std::uint64_t next_place_{};
  std::size_t bytes_{};
  std::size_t culled_{};
};

/// NoDB: keeps nothing.
class NoStore final : public Store {
 public:
  [[nodiscard]] const char* name() const override { return "NoDB"; }
  [[nodiscard]] bool keeps_records() const override { return false; }
  void apply(const std::string& /*msg_id*/, RecordChange /*change*/) override {}
  [[nodiscard]] std::optional<StoreAnswer> ask(std::uint64_t /*token*/,
                                               StoreRequest /*request*/) override {
    return StoreAnswer{};
  }
};

}  // namespace ipf
