#include "hub/store_dict.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/check.hpp"

namespace ipf {

void DictStore::apply(const std::string& msg_id, RecordChange change) {
  const bool is_request = std::holds_alternative<RecordRequest>(change);
  auto [slot, is_new] = by_id_.try_emplace(msg_id);
  if (is_new) {
    if (!begins_record(change)) {
      by_id_.erase(slot);
      return;
    }
    order_.emplace_back();
    slot->second = std::prev(order_.end());
    slot->second->record.msg_id = msg_id;
    slot->second->place = next_place_++;
  } else if (is_request && !slot->second->record.request) {
    order_.splice(order_.end(), order_, slot->second);
    slot->second->place = next_place_++;
  }
  const auto entry = slot->second;
  apply_change(entry->record, std::move(change), options_.record);
  settle(entry);
  cull();
}

/// Counts the entry's bytes anew and puts it into or out of `finished_`.
void DictStore::settle(Order::iterator entry) {
  bytes_ -= entry->bytes;
  entry->bytes = held_bytes(entry->record);
  bytes_ += entry->bytes;
  const bool finished = is_finished(entry->record);
  if (finished && !entry->finished) {
    finished_.push_back(entry);
    entry->finished = std::prev(finished_.end());
  } else if (!finished && entry->finished) {
    finished_.erase(*entry->finished);
    entry->finished.reset();
  }
}

void DictStore::erase(Order::iterator entry) {
  bytes_ -= entry->bytes;
  if (entry->finished) {
    finished_.erase(*entry->finished);
  }
  by_id_.erase(entry->record.msg_id);
  order_.erase(entry);
}

void DictStore::cull_one() {
  erase(finished_.empty() ? order_.begin() : finished_.front());
  ++culled_;
}

void DictStore::cull() {
  if (order_.size() > options_.record_limit) {
    const auto share = options_.cull_fraction * static_cast<double>(options_.record_limit);
    const auto count = std::max<std::size_t>(1, static_cast<std::size_t>(share));
    for (std::size_t i = 0; i < count && !order_.empty(); ++i) {
      cull_one();
    }
  }
  if (bytes_ > options_.size_limit) {
    const auto goal = (1.0 - options_.cull_fraction) * static_cast<double>(options_.size_limit);
    while (!order_.empty() && static_cast<double>(bytes_) > goal) {
      cull_one();
    }
  }
}

std::optional<TaskRecord> DictStore::get(const std::string& msg_id) const {
  const auto found = by_id_.find(msg_id);
  if (found == by_id_.end()) {
    return std::nullopt;
  }
  return found->second->record;
}

std::vector<DictStore::Order::iterator> DictStore::matching(const StoreQuery& query) const {
  std::vector<Order::iterator> found;
  const auto ids = query.wanted_msg_ids();
  if (ids && ids->size() <= order_.size()) {
    for (const auto& id : *ids) {
      const auto entry = by_id_.find(id);
      if (entry != by_id_.end() && matches(entry->second->record, query)) {
        found.push_back(entry->second);
      }
    }
    std::ranges::sort(found, {}, [](const Order::iterator& entry) { return entry->place; });
    return found;
  }
  for (auto entry = order_.begin(); entry != order_.end(); ++entry) {
    if (matches(entry->record, query)) {
      found.push_back(entry);
    }
  }
  return found;
}

Result<std::vector<TaskRecord>> DictStore::find(const StoreQuery& query, std::size_t most) const {
  const auto entries = matching(query);
  if (entries.size() > most) {
    return too_many_records(most);
  }
  std::vector<TaskRecord> found;
  found.reserve(entries.size());
  for (const auto& entry : entries) {
    found.push_back(entry->record);
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

std::size_t DictStore::drop(const StoreQuery& query) {
  const auto found = matching(query);
  for (const auto& entry : found) {
    erase(entry);
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

std::vector<std::string> DictStore::history() const {
  std::vector<std::string> ids;
  ids.reserve(order_.size());
  for (const auto& entry : order_) {
    if (entry.record.request) {
      ids.push_back(entry.record.msg_id);
    }
  }
  return ids;
}

void DictStore::check_invariants() const {
  IPF_CHECK(by_id_.size() == order_.size());
  IPF_CHECK(order_.size() <= options_.record_limit);
  IPF_CHECK(bytes_ <= options_.size_limit);
  std::size_t bytes = 0;
  std::size_t finished = 0;
  std::uint64_t place = 0;
  for (auto entry = order_.begin(); entry != order_.end(); ++entry) {
    const auto found = by_id_.find(entry->record.msg_id);
    IPF_CHECK(found != by_id_.end() && found->second == entry);
    IPF_CHECK(entry->bytes == held_bytes(entry->record));
    IPF_CHECK(entry->finished.has_value() == is_finished(entry->record));
    IPF_CHECK(!entry->finished || **entry->finished == entry);
    IPF_CHECK(entry == order_.begin() || entry->place > place);
    place = entry->place;
    bytes += entry->bytes;
    finished += entry->finished ? 1U : 0U;
  }
  IPF_CHECK(bytes == bytes_);
  IPF_CHECK(finished == finished_.size());
}

}  // namespace ipf
