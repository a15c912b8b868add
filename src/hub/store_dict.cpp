#include "hub/store_dict.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.hpp"

namespace ipf {

// ---- one entry ----------------------------------------------------------------------------------

DictStore::Entries& DictStore::list_of(State state) const {
  switch (state) {
    case State::unfinished:
      return unfinished_;
    case State::recent:
      return recent_;
    case State::packed:
      break;
  }
  return packed_;
}

/// To the end of the list.
void DictStore::move(Entries::iterator entry, State to) const {
  list_of(to).splice(list_of(to).end(), list_of(entry->state), entry);
  entry->state = to;
}

TaskRecord DictStore::record_of(const Entry& entry) {
  return entry.record ? *entry.record : entry.packed->unpack(entry.msg_id);
}

void DictStore::unpack(Entries::iterator entry) const {
  if (entry->packed) {
    entry->record = std::make_unique<TaskRecord>(entry->packed->unpack(entry->msg_id));
    entry->packed.reset();
  }
}

void DictStore::pack(Entries::iterator entry) {
  (void)keys(*entry);
  entry->packed.emplace(*entry->record);
  entry->record.reset();
  move(entry, State::packed);
  recount(*entry);
}

void DictStore::recount(Entry& entry) {
  constexpr std::size_t bookkeeping =
      sizeof(Entry) + 96;  // list and hash nodes, as malloc has them
  bytes_ -= entry.bytes;
  entry.bytes = bookkeeping + entry.msg_id.capacity() +
                (entry.record ? held_bytes(*entry.record) : entry.packed->bytes());
  bytes_ += entry.bytes;
}

const RecordKeys& DictStore::keys(Entry& entry) const {
  if (!entry.keys_known) {
    entry.keys = keys_of(*entry.record, reader_);
    entry.keys_known = true;
  }
  return entry.keys;
}

void DictStore::erase(Entries::iterator entry) {
  bytes_ -= entry->bytes;
  by_id_.erase(entry->msg_id);
  list_of(entry->state).erase(entry);
}

// ---- changes ------------------------------------------------------------------------------------

void DictStore::apply(const std::string& msg_id, RecordChange change) {
  const auto found = by_id_.find(msg_id);
  auto entry = found == by_id_.end() ? unfinished_.end() : found->second;
  if (found == by_id_.end()) {
    if (!begins_record(change)) {
      return;
    }
    unfinished_.push_back({.msg_id = msg_id,
                           .place = next_place_++,
                           .record = std::make_unique<TaskRecord>(TaskRecord{.msg_id = msg_id})});
    entry = std::prev(unfinished_.end());
    by_id_.emplace(entry->msg_id, entry);
  } else {
    unpack(entry);
    if (std::holds_alternative<RecordRequest>(change) && !entry->record->request) {
      entry->place = next_place_++;
    }
  }
  entry->keys_known = false;
  apply_change(*entry->record, std::move(change), options_.record);
  settle(entry);
  cull();
}

/// Puts the entry into the list where it belongs and counts its bytes anew.
void DictStore::settle(Entries::iterator entry) {
  const State wanted = is_finished(*entry->record) ? State::recent : State::unfinished;
  if (wanted != entry->state) {
    move(entry, wanted);
  }
  recount(*entry);
  if (recent_.size() > options_.recent_max) {
    pack(recent_.begin());
  }
}

void DictStore::cull_one() {
  auto& oldest = !packed_.empty() ? packed_ : !recent_.empty() ? recent_ : unfinished_;
  erase(oldest.begin());
  ++culled_;
}

void DictStore::cull() {
  if (by_id_.size() > options_.record_limit) {
    const auto share = options_.cull_fraction * static_cast<double>(options_.record_limit);
    const auto count = std::max<std::size_t>(1, static_cast<std::size_t>(share));
    for (std::size_t i = 0; i < count && !by_id_.empty(); ++i) {
      cull_one();
    }
  }
  if (bytes_ > options_.size_limit) {
    const auto goal = (1.0 - options_.cull_fraction) * static_cast<double>(options_.size_limit);
    while (!by_id_.empty() && static_cast<double>(bytes_) > goal) {
      cull_one();
    }
  }
}

std::size_t DictStore::drop(const StoreQuery& query) {
  const auto found = matching(query, by_id_.size());
  for (const auto& match : found) {
    erase(match.entry);
  }
  return found.size();
}

bool DictStore::drop_one(const std::string& msg_id) {
  const auto found = by_id_.find(msg_id);
  if (found == by_id_.end()) {
    return false;
  }
  erase(found->second);
  return true;
}

// ---- questions ----------------------------------------------------------------------------------

std::optional<TaskRecord> DictStore::get(const std::string& msg_id) const {
  const auto found = by_id_.find(msg_id);
  if (found == by_id_.end()) {
    return std::nullopt;
  }
  return record_of(*found->second);
}

std::vector<DictStore::Match> DictStore::matching(const StoreQuery& query, std::size_t most) const {
  std::vector<Match> found;
  const auto look_at = [&](Entries::iterator entry) {
    auto record = record_of(*entry);
    if (matches(record, query)) {
      found.push_back({.entry = entry, .record = std::move(record)});
    }
    return found.size() <= most;
  };
  const auto ids = query.wanted_msg_ids();
  if (ids && ids->size() <= by_id_.size()) {
    for (const auto& id : *ids) {
      const auto entry = by_id_.find(id);
      if (entry != by_id_.end() && !look_at(entry->second)) {
        break;
      }
    }
  } else {
    const KeyFilter filter(query);
    bool more = true;
    for (Entries* list : {&packed_, &recent_, &unfinished_}) {
      for (auto entry = list->begin(); more && entry != list->end(); ++entry) {
        if (!filter.narrows() || filter.may_match(keys(*entry))) {
          more = look_at(entry);
        }
      }
    }
  }
  std::ranges::sort(found, {}, [](const Match& match) { return match.entry->place; });
  return found;
}

Result<std::vector<TaskRecord>> DictStore::find(const StoreQuery& query, std::size_t most) const {
  auto matching_entries = matching(query, most);
  if (matching_entries.size() > most) {
    return too_many_records(most);
  }
  std::vector<TaskRecord> found;
  found.reserve(matching_entries.size());
  for (auto& match : matching_entries) {
    found.push_back(std::move(match.record));
  }
  return found;
}

std::optional<StoreAnswer> DictStore::ask(std::uint64_t /*token*/, StoreRequest request) {
  StoreAnswer answer;
  if (const auto* wanted = std::get_if<GetRecords>(&request)) {
    for (const auto& msg_id : wanted->msg_ids) {
      if (auto record = get(msg_id)) {
        answer.records.push_back(std::move(*record));
      }
    }
  } else if (const auto* search = std::get_if<FindRecords>(&request)) {
    auto found = find(search->query, search->records_max);
    if (found) {
      answer.records = std::move(*found);
    } else {
      answer.failure = found.error();
    }
  } else if (const auto* unwanted = std::get_if<DropRecords>(&request)) {
    for (const auto& msg_id : unwanted->msg_ids) {
      answer.dropped += drop_one(msg_id) ? 1U : 0U;
    }
    for (const auto& query : unwanted->queries) {
      answer.dropped += drop(query);
    }
  } else {
    answer.history = history();
  }
  return answer;
}

std::vector<std::string> DictStore::history() const {
  std::vector<std::pair<std::uint64_t, std::string_view>> places;
  places.reserve(by_id_.size());
  for (const Entries* list : {&packed_, &recent_, &unfinished_}) {
    for (const auto& entry : *list) {
      if (entry.packed ? entry.packed->has_request() : entry.record->request.has_value()) {
        places.emplace_back(entry.place, entry.msg_id);
      }
    }
  }
  std::ranges::sort(places);
  std::vector<std::string> ids;
  ids.reserve(places.size());
  for (const auto& [place, msg_id] : places) {
    ids.emplace_back(msg_id);
  }
  return ids;
}

void DictStore::check_invariants() const {
  IPF_CHECK(by_id_.size() == unfinished_.size() + recent_.size() + packed_.size());
  IPF_CHECK(by_id_.size() <= options_.record_limit);
  IPF_CHECK(bytes_ <= options_.size_limit);
  IPF_CHECK(recent_.size() <= options_.recent_max);
  std::size_t bytes = 0;
  for (const State state : {State::unfinished, State::recent, State::packed}) {
    auto& list = list_of(state);
    for (auto entry = list.begin(); entry != list.end(); ++entry) {
      const auto found = by_id_.find(entry->msg_id);
      IPF_CHECK(found != by_id_.end() && found->second == entry);
      IPF_CHECK(entry->state == state && entry->packed.has_value() == (state == State::packed));
      IPF_CHECK(entry->packed.has_value() != (entry->record != nullptr));
      IPF_CHECK(is_finished(record_of(*entry)) == (state != State::unfinished));
      IPF_CHECK(entry->place < next_place_);
      bytes += entry->bytes;
    }
  }
  IPF_CHECK(bytes == bytes_);
}

}  // namespace ipf
