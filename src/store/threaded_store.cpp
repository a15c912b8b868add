#include "store/threaded_store.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>
#include <utility>

namespace ipf {

namespace {

/// Never reached: has_room() and the bound of the questions keep the queue far below.
constexpr std::size_t mailbox_max = std::numeric_limits<std::size_t>::max();
constexpr std::size_t handed_over_at = 256;

std::size_t bytes_of(const RecordChange& change) {
  constexpr std::size_t fixed = 256;
  if (const auto* request = std::get_if<RecordRequest>(&change)) {
    return fixed + request->request.frames().total_bytes();
  }
  if (const auto* reply = std::get_if<RecordReply>(&change)) {
    return fixed + reply->reply.frames().total_bytes();
  }
  if (const auto* output = std::get_if<RecordOutput>(&change)) {
    return fixed + output->output.frames().total_bytes();
  }
  return fixed;
}

}  // namespace

ThreadedStore::ThreadedStore(std::unique_ptr<StoreBackend> backend,
                             const Options& options,
                             Log& log)
    : backend_(std::move(backend)),
      options_(options),
      log_(log),
      mailbox_(mailbox_max, [this] { wakeup_.release(); }),
      writer_(*backend_, options.writing, log) {}

ThreadedStore::~ThreadedStore() {
  stop();
}

// ---- the caller's thread ------------------------------------------------------------------------

void ThreadedStore::start(AnswerSink sink) {
  sink_ = std::move(sink);
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void ThreadedStore::stop() {
  if (!thread_.joinable()) {
    return;
  }
  flush();
  thread_.request_stop();
  wakeup_.release();
  thread_.join();
}

void ThreadedStore::apply(const std::string& msg_id, RecordChange change) {
  if (dropping_) {
    ++dropped_;
    ++dropped_in_all_;
    return;
  }
  const auto bytes = bytes_of(change);
  waiting_changes_.fetch_add(1, std::memory_order_relaxed);
  waiting_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  gathered_.emplace_back(Change{.msg_id = msg_id, .bytes = bytes, .change = std::move(change)});
  if (gathered_.size() >= handed_over_at) {
    flush();
  }
}

/// A thread that has something to commit wakes by itself.
void ThreadedStore::flush() {
  if (gathered_.empty()) {
    return;
  }
  mailbox_.push_quietly(gathered_);
  if (idle_.exchange(false) ||
      waiting_changes_.load(std::memory_order_relaxed) > options_.changes_max / 8) {
    mailbox_.wake();
  }
}

std::optional<StoreAnswer> ThreadedStore::ask(std::uint64_t token, StoreRequest request) {
  gathered_.emplace_back(Question{.token = token, .request = std::move(request)});
  flush();
  mailbox_.wake();
  return std::nullopt;
}

bool ThreadedStore::has_room(TimePoint now) {
  if (failed_) {
    throw std::runtime_error(std::string(name()) + ": its thread ended by an error");
  }
  const auto waiting = waiting_changes_.load(std::memory_order_relaxed);
  const auto bytes = waiting_bytes_.load(std::memory_order_relaxed);
  if (waiting < options_.changes_max && bytes < options_.bytes_max) {
    full_since_ = TimePoint::never();
    if (dropping_) {
      dropping_ = false;
      log_.warning(std::string(name()) + "::moves again; " + std::to_string(dropped_) +
                   " changes of task records were lost");
    }
    return true;
  }
  mailbox_.wake();
  if (full_since_ == TimePoint::never() || waiting < waiting_when_full_) {
    full_since_ = now;  // it moves
    waiting_when_full_ = waiting;
  }
  if (!dropping_ && now - full_since_ >= options_.stall_limit) {
    dropping_ = true;
    dropped_ = 0;
    log_.error(std::string(name()) +
               "::stands still; tasks go on, but their records are lost "
               "until it moves again");
  }
  return dropping_;
}

StoreFigures ThreadedStore::figures() const {
  return {.unwritten = waiting_changes_.load(std::memory_order_relaxed) + dirty_,
          .unwritten_bytes = waiting_bytes_.load(std::memory_order_relaxed),
          .lost = lost_ + dropped_in_all_,
          .failing = write_failing_};
}

// ---- the store's thread -------------------------------------------------------------------------

void ThreadedStore::run(const std::stop_token& stop) {
  try {
    writer_.begin(steady_now());
    while (!stop.stop_requested()) {
      wait();
      const auto now = steady_now();
      take(now);
      writer_.step(now);
      dirty_ = writer_.dirty_count();
      lost_ = writer_.lost_count();
      write_failing_ = writer_.failing();
    }
    take(steady_now());
    writer_.finish(steady_now());
  } catch (const std::exception& error) {
    log_.error(std::string(name()) + "::the store's thread failed: " + error.what());
    failed_ = true;
  }
}

void ThreadedStore::wait() {
  if (writer_.next_deadline() != TimePoint::never()) {
    (void)wakeup_.try_acquire_for(std::clamp(writer_.next_deadline() - steady_now(), Duration{0},
                                             options_.writing.retry_most));
    return;
  }
  idle_ = true;
  take(steady_now());  // what came before `idle_` was set woke nobody
  if (writer_.next_deadline() == TimePoint::never()) {
    wakeup_.acquire();
  }
  idle_ = false;
}

void ThreadedStore::take(TimePoint now) {
  mailbox_.take(taken_);
  for (auto& item : taken_) {
    std::visit([&](auto& concrete) { handle(now, concrete); }, item);
  }
  taken_.clear();
}

void ThreadedStore::handle(TimePoint now, Change& change) {
  const auto bytes = change.bytes;
  writer_.apply(now, change.msg_id, std::move(change.change));
  waiting_changes_.fetch_sub(1, std::memory_order_relaxed);
  waiting_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
}

void ThreadedStore::handle(TimePoint now, Question& question) {
  auto answer = std::make_shared<StoreAnswer>(writer_.ask(now, question.request));
  sink_(StoreAnswered{.token = question.token, .answer = std::move(answer)});
}

}  // namespace ipf
