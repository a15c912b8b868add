#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/clock.hpp"
#include "core/log.hpp"
#include "hub/store.hpp"
#include "store/store_backend.hpp"

namespace ipf {

/// Gathers the changes of records and writes whole records in batches; between two batches the
/// records are here. A task that begins and ends within `commit_every` is written once.
///
/// | a record here is    | from                     | until                                      |
/// |---------------------|--------------------------|--------------------------------------------|
/// | dirty               | a change                 | the next commit                            |
/// | clean, unfinished   | its commit               | a change, or `unfinished_max` later ones   |
/// | clean, finished     | its commit               | a change, or `finished_max` later ones     |
///
/// A change of a record that is not here loads it first, so that outputs which arrive late are
/// merged and not lost.
///
/// **When the database fails** (disk full, locked, gone) the dirty records stay, questions are
/// answered from the database and from them, and the commit is tried again with growing distance.
/// One line tells it and one line when it works again. Beyond `dirty_max` records or
/// `dirty_bytes_max` the oldest are given up, finished ones first, and counted.
///
/// One thread, the store's. No clock of its own: time comes as an argument.
class WriteBehind {
 public:
  struct Options {
    Duration commit_every{std::chrono::milliseconds(50)};
    std::size_t commit_records{4000};  ///< as many dirty records are written at once
    std::size_t finished_max{1024};
    std::size_t unfinished_max{16'384};
    std::size_t clean_bytes_max{64UL << 20U};
    std::size_t dirty_max{100'000};
    std::size_t dirty_bytes_max{256UL << 20U};
    Duration retry_first{std::chrono::milliseconds(100)};
    Duration retry_most{std::chrono::seconds(5)};
    RecordLimits record{};
  };

  /// Both must outlive this object.
  WriteBehind(StoreBackend& backend, const Options& options, Log& log)
      : backend_(backend), options_(options), log_(log) {}

  /// Learns which records an earlier controller left unfinished: a restored one sees their requests
  /// again, which must not wipe out what is known of them.
  void begin(TimePoint now);
  void apply(TimePoint now, const std::string& msg_id, RecordChange change);
  StoreAnswer ask(TimePoint now, const StoreRequest& request);
  /// Commits if it is time.
  void step(TimePoint now);
  /// Commits what is left, whatever the time; at the end.
  void finish(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;

  [[nodiscard]] bool failing() const { return failing_; }
  [[nodiscard]] std::size_t dirty_count() const { return dirty_.size(); }
  [[nodiscard]] std::size_t lost_count() const { return lost_; }
  void check_invariants() const;

 private:
  enum class State { dirty, unfinished, finished };
  struct Entry {
    TaskRecord record{};
    State state{State::dirty};
    std::size_t bytes{};
    bool to_end{false};
    bool unread{false};  ///< the database may know more of it, but could not be read
  };
  using Entries = std::list<Entry>;

  [[nodiscard]] Entries& list_of(State state);
  Entries::iterator find_or_load(TimePoint now,
                                 const std::string& msg_id,
                                 const RecordChange& change);
  Entries::iterator insert(TaskRecord record);
  void mark_dirty(TimePoint now, Entries::iterator entry, bool to_end);
  bool commit(TimePoint now);
  void note_failure(TimePoint now, const Error& error);
  void settle_written();
  bool complete_unread();
  void trim_clean();
  void give_up();
  void erase(Entries::iterator entry);

  StoreAnswer get(const GetRecords& request);
  StoreAnswer find(const FindRecords& request);
  StoreAnswer drop(const DropRecords& request);
  StoreAnswer history();

  StoreBackend& backend_;
  const Options options_;
  Log& log_;
  Entries dirty_;  ///< in the order in which the records began
  Entries unfinished_;
  Entries finished_;
  std::unordered_map<std::string, Entries::iterator> by_id_;
  std::unordered_set<std::string> partial_;  ///< stored, not here, and their request may come
  std::vector<RecordWrite> batch_;
  std::size_t dirty_bytes_{};
  std::size_t clean_bytes_{};
  std::size_t lost_{};
  bool failing_{false};
  std::size_t lost_at_failure_{};
  TimePoint failed_at_{};
  Duration retry_distance_{};
  TimePoint due_{TimePoint::never()};
};

}  // namespace ipf
