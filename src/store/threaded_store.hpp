#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "core/log.hpp"
#include "core/mailbox.hpp"
#include "hub/store.hpp"
#include "store/store_backend.hpp"
#include "store/write_behind.hpp"

namespace ipf {

/// A slow store: a WriteBehind over a database in a thread of its own.
///
/// The hub's thread calls the members of Store; changes and questions go to the store's thread in
/// one queue, so a question sees every change before it. The queue is bounded by has_room(), which
/// the caller asks before it applies a round's changes. If the thread has not taken anything for
/// `stall_limit` while there is no room (a disk that hangs), changes are dropped until it moves
/// again; one log line says so and one says how many.
class ThreadedStore final : public Store {
 public:
  struct Options {
    WriteBehind::Options writing{};
    std::size_t changes_max{65'536};      ///< that wait for the store's thread
    std::size_t bytes_max{256UL << 20U};  ///< of the frames in them
    Duration stall_limit{std::chrono::seconds(5)};
  };

  /// The backend is open; the thread begins with start(). The log must outlive this object.
  ThreadedStore(std::unique_ptr<StoreBackend> backend, const Options& options, Log& log);
  ~ThreadedStore() override;

  [[nodiscard]] const char* name() const override { return backend_->name(); }
  [[nodiscard]] bool keeps_records() const override { return true; }
  void apply(const std::string& msg_id, RecordChange change) override;
  [[nodiscard]] std::optional<StoreAnswer> ask(std::uint64_t token, StoreRequest request) override;
  void start(AnswerSink sink) override;
  void stop() override;
  void flush() override;
  [[nodiscard]] bool has_room(TimePoint now) override;
  [[nodiscard]] StoreFigures figures() const override;

 private:
  struct Change {
    std::string msg_id{};
    std::size_t bytes{};
    RecordChange change;
  };
  struct Question {
    std::uint64_t token{};
    StoreRequest request{};
  };
  using Item = std::variant<Change, Question>;

  void run(const std::stop_token& stop);
  void wait();
  void take(TimePoint now);
  void handle(TimePoint now, Change& change);
  void handle(TimePoint now, Question& question);

  const std::unique_ptr<StoreBackend> backend_;
  const Options options_;
  Log& log_;
  AnswerSink sink_;

  // Shared by both threads.
  std::counting_semaphore<> wakeup_{0};
  Mailbox<Item> mailbox_;
  std::atomic<std::size_t> waiting_changes_{0};
  std::atomic<std::size_t> waiting_bytes_{0};
  std::atomic<std::size_t> dirty_{0};       ///< of the writer, as it was last time
  std::atomic<std::size_t> lost_{0};        ///< likewise
  std::atomic<bool> write_failing_{false};  ///< likewise
  std::atomic<bool> idle_{false};           ///< the store's thread sleeps until it is woken
  std::atomic<bool> failed_{false};         ///< it ended by an error; has_room() throws then

  // The caller's.
  std::vector<Item> gathered_;
  TimePoint full_since_{TimePoint::never()};
  std::size_t waiting_when_full_{};
  bool dropping_{false};
  std::size_t dropped_{};  ///< since it stands still
  std::size_t dropped_in_all_{};

  // The store thread's.
  WriteBehind writer_;
  std::vector<Item> taken_;

  std::jthread thread_;
};

}  // namespace ipf
