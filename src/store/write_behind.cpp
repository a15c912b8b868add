#include "store/write_behind.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.hpp"
#include "hub/record_change.hpp"

namespace ipf {

namespace {

constexpr std::size_t partial_max = 65'536;

/// Takes from `stored` what `record` does not have: the changes that were made while the database
/// could not be read are the newer ones.
void fill_in(TaskRecord& record, TaskRecord&& stored) {
  const auto take = [](auto& into, auto& from) {
    if (into == std::decay_t<decltype(into)>{}) {
      into = std::move(from);
    }
  };
  if (!record.request) {
    record.request = std::move(stored.request);
  }
  if (!record.reply) {
    record.reply = std::move(stored.reply);
    record.received = stored.received;
  }
  if (!record.queue) {
    record.queue = stored.queue;
  }
  take(record.engine_uuid, stored.engine_uuid);
  take(record.resubmitted, stored.resubmitted);
  record.stdout_text.text.insert(0, stored.stdout_text.text);
  record.stderr_text.text.insert(0, stored.stderr_text.text);
  take(record.execute_input, stored.execute_input);
  take(record.execute_result, stored.execute_result);
  take(record.error, stored.error);
  take(record.display_data, stored.display_data);
}

}  // namespace

WriteBehind::Entries& WriteBehind::list_of(State state) {
  switch (state) {
    case State::dirty:
      return dirty_;
    case State::unfinished:
      return unfinished_;
    case State::finished:
      break;
  }
  return finished_;
}

WriteBehind::Entries::iterator WriteBehind::insert(TaskRecord record) {
  dirty_.push_back({.record = std::move(record)});
  const auto entry = std::prev(dirty_.end());
  by_id_.emplace(entry->record.msg_id, entry);
  return entry;
}

void WriteBehind::erase(Entries::iterator entry) {
  (entry->state == State::dirty ? dirty_bytes_ : clean_bytes_) -= entry->bytes;
  by_id_.erase(entry->record.msg_id);
  list_of(entry->state).erase(entry);
}

/// The record here or in the database, or a new one; end() of dirty_ when the change is for nobody.
WriteBehind::Entries::iterator WriteBehind::find_or_load(TimePoint now,
                                                         const std::string& msg_id,
                                                         const RecordChange& change) {
  if (const auto found = by_id_.find(msg_id); found != by_id_.end()) {
    return found->second;
  }
  // A new request is new: only outputs can have overtaken it.
  if (std::holds_alternative<RecordRequest>(change) && !partial_.contains(msg_id)) {
    return insert({.msg_id = msg_id});
  }
  auto stored = failing_ ? Result<std::optional<TaskRecord>>(std::nullopt) : backend_.load(msg_id);
  if (!stored) {
    note_failure(now, stored.error());
  }
  if (failing_) {
    const auto entry = insert({.msg_id = msg_id});
    entry->unread = true;
    return entry;
  }
  if (*stored) {
    return insert(std::move(**stored));
  }
  return begins_record(change) ? insert({.msg_id = msg_id}) : dirty_.end();
}

void WriteBehind::mark_dirty(TimePoint now, Entries::iterator entry, bool to_end) {
  if (entry->state != State::dirty) {
    clean_bytes_ -= entry->bytes;
    dirty_.splice(dirty_.end(), list_of(entry->state), entry);
    entry->state = State::dirty;
  } else {
    dirty_bytes_ -= entry->bytes;
    if (to_end) {
      dirty_.splice(dirty_.end(), dirty_, entry);
    }
  }
  entry->to_end = entry->to_end || to_end;
  entry->bytes = held_bytes(entry->record);
  dirty_bytes_ += entry->bytes;
  if (due_ == TimePoint::never()) {
    due_ = now + options_.commit_every;
  }
}

void WriteBehind::begin(TimePoint now) {
  auto ids = backend_.unfinished(partial_max);
  if (!ids) {
    note_failure(now, ids.error());
    return;
  }
  partial_.insert(ids->begin(), ids->end());
}

void WriteBehind::apply(TimePoint now, const std::string& msg_id, RecordChange change) {
  const bool is_request = std::holds_alternative<RecordRequest>(change);
  const auto known = by_id_.size();
  const auto entry = find_or_load(now, msg_id, change);
  if (entry == dirty_.end()) {
    return;
  }
  const bool was_here = by_id_.size() == known;
  const bool late = is_request && !entry->record.request && (was_here || partial_.contains(msg_id));
  if (is_request) {
    partial_.erase(msg_id);
  }
  apply_change(entry->record, std::move(change), options_.record);
  mark_dirty(now, entry, late);
  if (!failing_ && dirty_.size() >= options_.commit_records) {
    commit(now);
  }
  give_up();
}

// ---- writing ------------------------------------------------------------------------------------

TimePoint WriteBehind::next_deadline() const {
  return due_;
}

void WriteBehind::step(TimePoint now) {
  if (due_ <= now) {
    commit(now);
  }
}

void WriteBehind::finish(TimePoint now) {
  if (!commit(now)) {
    log_.error(std::string(backend_.name()) + "::" + std::to_string(dirty_.size()) +
               " task records could not be written before the end");
  }
}

/// Reads what could not be read when a change came. False while the database still fails.
bool WriteBehind::complete_unread() {
  for (auto& entry : dirty_) {
    if (!entry.unread) {
      continue;
    }
    auto stored = backend_.load(entry.record.msg_id);
    if (!stored) {
      return false;
    }
    if (*stored) {
      fill_in(entry.record, std::move(**stored));
    }
    entry.unread = false;
  }
  return true;
}

bool WriteBehind::commit(TimePoint now) {
  if (dirty_.empty()) {
    due_ = TimePoint::never();
    return true;
  }
  if (failing_ && !complete_unread()) {
    note_failure(now, {ErrorCode::io, "it cannot be read"});
    return false;
  }
  batch_.clear();
  for (const auto& entry : dirty_) {
    batch_.push_back({.record = &entry.record, .to_end = entry.to_end});
  }
  const auto written = backend_.write(batch_);
  batch_.clear();
  if (!written) {
    note_failure(now, written.error());
    return false;
  }
  settle_written();
  due_ = TimePoint::never();
  if (failing_) {
    failing_ = false;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - failed_at_).count();
    log_.warning(std::string(backend_.name()) + "::writes again after " + std::to_string(seconds) +
                 " s; " + std::to_string(lost_ - lost_at_failure_) + " task records were lost");
  }
  return true;
}

void WriteBehind::note_failure(TimePoint now, const Error& error) {
  if (!failing_) {
    failing_ = true;
    failed_at_ = now;
    lost_at_failure_ = lost_;
    retry_distance_ = options_.retry_first;
    log_.error(std::string(backend_.name()) + "::" + error.message +
               ". Tasks go on; their records stay in memory (at most " +
               std::to_string(options_.dirty_max) + ") until it works again");
  } else {
    retry_distance_ = std::min(retry_distance_ * 2, options_.retry_most);
  }
  due_ = now + retry_distance_;
}

void WriteBehind::settle_written() {
  for (auto entry = dirty_.begin(); entry != dirty_.end();) {
    const auto next = std::next(entry);
    entry->to_end = false;
    entry->state = entry->record.reply ? State::finished : State::unfinished;
    auto& list = list_of(entry->state);
    list.splice(list.end(), dirty_, entry);
    entry = next;
  }
  clean_bytes_ += dirty_bytes_;
  dirty_bytes_ = 0;
  trim_clean();
}

void WriteBehind::trim_clean() {
  while (finished_.size() > options_.finished_max) {
    erase(finished_.begin());
  }
  while (unfinished_.size() > options_.unfinished_max ||
         (clean_bytes_ > options_.clean_bytes_max && !(finished_.empty() && unfinished_.empty()))) {
    const auto oldest = finished_.empty() || unfinished_.size() > options_.unfinished_max
                            ? unfinished_.begin()
                            : finished_.begin();
    if (!oldest->record.request && partial_.size() < partial_max) {
      partial_.insert(oldest->record.msg_id);
    }
    erase(oldest);
  }
}

/// Keeps the memory within its bounds while nothing can be written.
void WriteBehind::give_up() {
  if (!failing_) {
    return;
  }
  while (dirty_.size() > options_.dirty_max || dirty_bytes_ > options_.dirty_bytes_max) {
    const auto finished = std::ranges::find_if(
        dirty_, [](const Entry& entry) { return entry.record.reply.has_value(); });
    erase(finished == dirty_.end() ? dirty_.begin() : finished);
    ++lost_;
  }
}

// ---- questions ----------------------------------------------------------------------------------

namespace {

StoreAnswer failed(const Error& error) {
  return {.failure = error};
}

}  // namespace

StoreAnswer WriteBehind::ask(TimePoint now, const StoreRequest& request) {
  if (const auto* wanted = std::get_if<GetRecords>(&request)) {
    return get(*wanted);
  }
  if (!failing_) {
    commit(now);  // then the database alone knows the answer
  }
  if (const auto* search = std::get_if<FindRecords>(&request)) {
    return find(*search);
  }
  if (const auto* unwanted = std::get_if<DropRecords>(&request)) {
    return drop(*unwanted);
  }
  return history();
}

StoreAnswer WriteBehind::get(const GetRecords& request) {
  StoreAnswer answer;
  for (const auto& msg_id : request.msg_ids) {
    if (const auto here = by_id_.find(msg_id); here != by_id_.end()) {
      answer.records.push_back(here->second->record);
      continue;
    }
    auto stored = backend_.load(msg_id);
    if (!stored) {
      return failed(stored.error());
    }
    if (*stored) {
      answer.records.push_back(std::move(**stored));
    }
  }
  return answer;
}

StoreAnswer WriteBehind::find(const FindRecords& request) {
  StoreAnswer answer;
  auto found = backend_.find(request.query, request.records_max);
  if (!found) {
    return failed(found.error());
  }
  answer.records = std::move(*found);
  // Only while the database fails there is something dirty: it is newer than what is stored.
  std::erase_if(answer.records, [this](const TaskRecord& record) {
    const auto here = by_id_.find(record.msg_id);
    return here != by_id_.end() && here->second->state == State::dirty;
  });
  for (const auto& entry : dirty_) {
    if (matches(entry.record, request.query)) {
      answer.records.push_back(entry.record);
    }
  }
  if (answer.records.size() > request.records_max) {
    return failed(too_many_records(request.records_max).error);
  }
  return answer;
}

StoreAnswer WriteBehind::drop(const DropRecords& request) {
  StoreAnswer answer;
  const auto dropped = backend_.drop(request);
  if (!dropped) {
    return failed(dropped.error());
  }
  answer.dropped = *dropped;
  const auto unwanted = [&](const TaskRecord& record) {
    return std::ranges::find(request.msg_ids, record.msg_id) != request.msg_ids.end() ||
           std::ranges::any_of(request.queries,
                               [&](const StoreQuery& query) { return matches(record, query); });
  };
  for (Entries* list : {&dirty_, &unfinished_, &finished_}) {
    for (auto entry = list->begin(); entry != list->end();) {
      const auto next = std::next(entry);
      if (unwanted(entry->record)) {
        erase(entry);
      }
      entry = next;
    }
  }
  return answer;
}

StoreAnswer WriteBehind::history() {
  StoreAnswer answer;
  auto stored = backend_.history();
  if (!stored) {
    return failed(stored.error());
  }
  answer.history = std::move(*stored);
  if (!dirty_.empty()) {
    const std::unordered_set<std::string> known(answer.history.begin(), answer.history.end());
    for (const auto& entry : dirty_) {
      if (entry.record.request && !known.contains(entry.record.msg_id)) {
        answer.history.push_back(entry.record.msg_id);
      }
    }
  }
  return answer;
}

void WriteBehind::check_invariants() const {
  IPF_CHECK(by_id_.size() == dirty_.size() + unfinished_.size() + finished_.size());
  std::size_t dirty_bytes = 0;
  std::size_t clean_bytes = 0;
  for (const auto& [msg_id, entry] : by_id_) {
    IPF_CHECK(entry->record.msg_id == msg_id);
    (entry->state == State::dirty ? dirty_bytes : clean_bytes) += entry->bytes;
  }
  IPF_CHECK(dirty_bytes == dirty_bytes_ && clean_bytes == clean_bytes_);
  IPF_CHECK(finished_.size() <= options_.finished_max);
  IPF_CHECK(unfinished_.size() <= options_.unfinished_max);
  IPF_CHECK(dirty_.empty() == (due_ == TimePoint::never()) || failing_);
  IPF_CHECK(!failing_ || dirty_.size() <= options_.dirty_max);
}

}  // namespace ipf
