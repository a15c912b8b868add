#include "hub/record_keys.hpp"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <utility>

namespace ipf {

namespace {

constexpr std::size_t wanted_max = 1000;

std::uint32_t key_or_none(const std::optional<std::string_view>& text) {
  return text ? key_of(*text) : RecordKeys::no_text;
}

std::int64_t time_or_none(const std::optional<std::string_view>& iso) {
  WallTime time;
  return iso && parse_iso(*iso, time) ? time.microseconds : RecordKeys::no_time;
}

std::uint32_t RecordKeys::* text_column(Column column) {
  switch (column) {
    case Column::client_uuid:
      return &RecordKeys::client_uuid;
    case Column::engine_uuid:
      return &RecordKeys::engine_uuid;
    case Column::label:
      return &RecordKeys::label;
    case Column::resubmitted:
      return &RecordKeys::resubmitted;
    case Column::queue:
      return &RecordKeys::queue;
    default:
      return nullptr;
  }
}

std::int64_t RecordKeys::* time_column(Column column) {
  switch (column) {
    case Column::submitted:
      return &RecordKeys::submitted;
    case Column::completed:
      return &RecordKeys::completed;
    case Column::received:
      return &RecordKeys::received;
    default:
      return nullptr;
  }
}

/// Hashes of the texts that fulfil the condition; nothing when these cannot be named.
std::optional<std::vector<std::uint32_t>> wanted_texts(const Condition& condition) {
  std::vector<std::uint32_t> wanted;
  const auto add = [&wanted](const Json& value) {
    if (value.is_null()) {
      wanted.push_back(RecordKeys::no_text);
    } else if (value.is_string()) {
      wanted.push_back(key_of(value.get_ref<const std::string&>()));
    }
  };
  if (condition.op == QueryOperator::eq) {
    add(condition.operand);
  } else if (condition.op == QueryOperator::in && condition.operand.size() <= wanted_max) {
    std::ranges::for_each(condition.operand, add);
  } else {
    return std::nullopt;
  }
  std::ranges::sort(wanted);
  return wanted;
}

}  // namespace

std::uint32_t key_of(std::string_view text) {
  const auto hash = static_cast<std::uint32_t>(std::hash<std::string_view>{}(text));
  return hash == RecordKeys::no_text ? 1 : hash;
}

RecordKeys keys_of(const TaskRecord& record, JsonMembers& reader) {
  RecordKeys keys;
  if (record.request || record.reply) {
    reader.open(record.request ? record.request->header() : record.reply->parent());
    keys.submitted = time_or_none(reader.text("date"));
    keys.client_uuid = key_or_none(reader.text("session"));
  }
  if (record.request && reader.open(record.request->metadata())) {
    keys.label = key_or_none(reader.text("label"));
  }
  if (record.reply && reader.open(record.reply->header())) {
    keys.completed = time_or_none(reader.text("date"));
  }
  if (!record.engine_uuid.empty() || record.reply) {
    keys.engine_uuid = key_of(record.engine_uuid);
  }
  if (!record.resubmitted.empty()) {
    keys.resubmitted = key_of(record.resubmitted);
  }
  if (record.received) {
    keys.received = record.received->microseconds;
  }
  if (record.queue) {
    keys.queue = key_of(queue_name(*record.queue));
  }
  return keys;
}

KeyFilter::KeyFilter(const StoreQuery& query) : query_(query) {
  for (const auto& condition : query_.conditions()) {
    if (auto RecordKeys::* const text = text_column(condition.column)) {
      if (auto wanted = wanted_texts(condition)) {
        texts_.push_back({.column = text, .wanted = std::move(*wanted)});
      }
    } else if (auto RecordKeys::* const time = time_column(condition.column)) {
      if (condition.op != QueryOperator::glob) {
        times_.push_back({.column = time, .condition = &condition});
      }
    }
  }
}

bool KeyFilter::may_match(const RecordKeys& keys) const {
  return std::ranges::all_of(texts_,
                             [&keys](const Text& text) {
                               return std::ranges::binary_search(text.wanted, keys.*text.column);
                             }) &&
         std::ranges::all_of(times_, [&keys](const Time& time) {
           const auto value = keys.*time.column;
           return holds(*time.condition, value == RecordKeys::no_time ? Json() : Json(value));
         });
}

}  // namespace ipf
