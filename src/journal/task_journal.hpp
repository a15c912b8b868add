#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/clock.hpp"
#include "core/result.hpp"
#include "protocol/message.hpp"
#include "scheduler/journal_format.hpp"

namespace ipf {

/// The task queue on disk, so that a controller that is killed can go on: a file to which a record
/// is appended when a task is submitted, handed to an engine, taken from it, or answered.
///
/// flush() is called once a poll round, before anything leaves through a socket: so whatever an
/// engine or a client has seen is in the file. Records are written, not synced: they outlive the
/// process (kill -9), not a power failure.
///
/// The journal is not the database. Answered tasks stay in it for `settle_time` at least, in which
/// the database commits them; then the file is begun anew with the open tasks and the outcomes
/// that others may depend on, and the last one stays as `<path>.old` until the next change. read()
/// merges both.
///
/// A write that fails (a full disk) is told once; the journal then starts a new file every
/// `retry_time` until that works. Tasks go on meanwhile. One thread.
class TaskJournal {
 public:
  struct Options {
    std::size_t rotate_bytes{std::size_t{32} << 20U};
    Duration settle_time{std::chrono::seconds(3)};
    Duration retry_time{std::chrono::seconds(10)};
  };

  /// The outcomes that are remembered; asked when a file is begun anew.
  using Remembered = std::function<std::vector<RememberedOutcome>()>;

  /// Begins a new journal in `path`, mode 0600, with this in it: what read() gave, or a seed only.
  static Result<TaskJournal> create(std::filesystem::path path,
                                    const Options& options,
                                    const JournalContents& contents);
  /// All that a journal knows; nothing if there is none. A record that is cut off, which kill -9
  /// may leave at the end, ends the file.
  static Result<JournalContents> read(const std::filesystem::path& path);
  /// Removes the files, if they are there.
  static void remove(const std::filesystem::path& path);

  TaskJournal(TaskJournal&&) noexcept;
  TaskJournal& operator=(TaskJournal&&) = delete;
  TaskJournal(const TaskJournal&) = delete;
  TaskJournal& operator=(const TaskJournal&) = delete;
  ~TaskJournal();

  void remember_by(Remembered remembered) { remembered_ = std::move(remembered); }

  void submitted(const std::string& msg_id, const Message& request);
  void assigned(const std::string& msg_id, std::string_view engine_uuid);
  /// It has left its engine without an answer.
  void returned(const std::string& msg_id, const TaskProgress& progress);
  /// `reply` may be a message made here, from its delimiter on.
  /// `made_here`: the scheduler answered for the engine, if there was one.
  void answered(const std::string& msg_id,
                std::string_view engine_uuid,
                const Message& reply,
                bool made_here);

  /// Writes what has gathered. An Error is told once for a row of failures.
  Result<void> flush(TimePoint now);
  [[nodiscard]] std::size_t open_count() const { return open_.size(); }

 private:
  struct Open {
    Message request;
    std::string engine_uuid{};
    std::uint64_t order{};
    std::uint64_t handed_over{};
    std::optional<TaskProgress> progress{};
  };
  using OpenTask = const std::pair<const std::string, Open>;

  TaskJournal(std::filesystem::path path, const Options& options);
  Result<void> write_out(int fd, std::string_view bytes);
  /// All that is known of the open tasks, in `bytes`, which `empty` writes and empties.
  Result<void> append_open_tasks(std::string& bytes,
                                 const std::function<Result<void>()>& empty) const;
  /// Begins a new file with the open tasks.
  Result<void> rotate(TimePoint now);
  /// Makes `fd`, which holds the file `.new`, the journal.
  Result<void> adopt(int fd, std::size_t size, TimePoint now);
  Result<void> fail(TimePoint now, const Error& error);

  std::filesystem::path path_;
  Options options_;
  int fd_{-1};
  std::string buffer_;
  std::size_t written_{};
  std::size_t open_bytes_{};  ///< of the requests of open tasks
  std::uint64_t seed_{};
  Remembered remembered_;
  std::uint64_t next_order_{};
  std::uint64_t handed_over_{};
  std::unordered_map<std::string, Open> open_;
  TimePoint rotate_after_{};
  bool failing_{false};
  TimePoint retry_at_{};
};

}  // namespace ipf
