#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "hub/record_change.hpp"
#include "hub/store.hpp"

namespace ipf {

/// DictDB: task records in memory, within limits (protocol.md 7.3).
///
/// Over `record_limit` records, or over `size_limit` bytes held by them (frames and outputs, not
/// only buffers: what matters is the memory), the oldest finished records are culled, oldest by
/// the time they finished, until `cull_fraction` of the limit is free. Only when no finished record
/// is left are unfinished ones culled, in order of submission. An unfinished record that was
/// culled comes back as a partial one when its reply passes.
///
/// Order of submission is the order in which the requests passed the controller, which unlike the
/// clients' clocks is one order. A record that began with an output takes its place when the
/// request passes.
///
/// Invariants: each record is in `order_` once; it is in `finished_` iff it is finished; `bytes_`
/// is the sum of what the records hold. One thread. A change costs O(1), amortised over culling.
class DictStore final : public Store {
 public:
  struct Options {
    std::size_t record_limit{1024};
    std::size_t size_limit{1UL << 30U};
    double cull_fraction{0.1};  ///< in (0, 1]; at least one record goes
    RecordLimits record{};
  };

  explicit DictStore(const Options& options) : options_(options) {}
  DictStore() : DictStore(Options{}) {}

  [[nodiscard]] const char* name() const override { return "DictDB"; }
  [[nodiscard]] bool keeps_records() const override { return true; }
  void apply(const std::string& msg_id, RecordChange change) override;
  [[nodiscard]] std::optional<StoreAnswer> ask(std::uint64_t token, StoreRequest request) override;

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

  [[nodiscard]] std::size_t record_count() const { return order_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t culled_count() const { return culled_; }
  void check_invariants() const;

 private:
  struct Entry;
  using Order = std::list<Entry>;
  using Finished = std::list<Order::iterator>;
  struct Entry {
    TaskRecord record{};
    std::uint64_t place{};  ///< rises along `order_`
    std::size_t bytes{};
    std::optional<Finished::iterator> finished{};
  };

  /// Entries that match, in order of submission; looks msg_ids up where the query names them.
  [[nodiscard]] std::vector<Order::iterator> matching(const StoreQuery& query) const;
  void settle(Order::iterator entry);
  void erase(Order::iterator entry);
  void cull();
  void cull_one();

  const Options options_;
  mutable Order order_;  // mutable: matching() hands out iterators; only non-const members use them
  Finished finished_;
  std::unordered_map<std::string, Order::iterator> by_id_;
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
