#include "store/mongo_document.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "hub/record_columns.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

/// A document may have 16 MB; one column and all buffers of one message stay well below.
constexpr std::size_t column_max = 2UL << 20U;
constexpr std::size_t buffers_max = 5UL << 20U;
constexpr std::size_t list_max = 10'000;

int length(std::string_view text) {
  return static_cast<int>(text.size());
}

// ---- JSON and BSON ------------------------------------------------------------------------------

/// MongoDB keeps `$` and `.` in keys for itself, depending on its version.
bool has_plain_keys(const Json& value) {
  if (!value.is_structured()) {
    return true;
  }
  for (const auto& item : value.items()) {
    if (value.is_object() &&
        (item.key().empty() || item.key()[0] == '$' || item.key().find('.') != std::string::npos ||
         item.key().find('\0') != std::string::npos)) {
      return false;
    }
    if (!has_plain_keys(item.value())) {
      return false;
    }
  }
  return true;
}

void append_json(bson_t* to, std::string_view key, const Json& value);

void append_members(bson_t* to, const Json& value) {
  for (const auto& item : value.items()) {
    append_json(to, item.key(), item.value());
  }
}

void append_json(bson_t* to, std::string_view key, const Json& value) {
  const int size = length(key);
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): always together with its size
  const char* name = key.data();
  switch (value.type()) {
    case Json::value_t::object:
    case Json::value_t::array: {
      bson_t child;
      const bool object = value.is_object();
      object ? bson_append_document_begin(to, name, size, &child)
             : bson_append_array_begin(to, name, size, &child);
      append_members(&child, value);
      object ? bson_append_document_end(to, &child) : bson_append_array_end(to, &child);
      break;
    }
    case Json::value_t::string: {
      const auto& text = value.get_ref<const std::string&>();
      bson_append_utf8(to, name, size, text.data(), length(text));
      break;
    }
    case Json::value_t::boolean:
      bson_append_bool(to, name, size, value.get<bool>());
      break;
    case Json::value_t::number_unsigned:
      if (value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max()) {
        bson_append_double(to, name, size, value.get<double>());
        break;
      }
      [[fallthrough]];
    case Json::value_t::number_integer:
      bson_append_int64(to, name, size, value.get<std::int64_t>());
      break;
    case Json::value_t::number_float:
      bson_append_double(to, name, size, value.get<double>());
      break;
    default:
      bson_append_null(to, name, size);
  }
}

std::string_view text_of(const bson_iter_t& iter) {
  if (BSON_ITER_HOLDS_UTF8(&iter)) {
    std::uint32_t size = 0;
    const char* text = bson_iter_utf8(&iter, &size);
    return {text, size};
  }
  std::uint32_t size = 0;
  const std::uint8_t* bytes = nullptr;
  bson_iter_binary(&iter, nullptr, &size, &bytes);
  return {reinterpret_cast<const char*>(bytes), size};
}

Json json_of(const bson_iter_t& iter) {
  switch (bson_iter_type(&iter)) {
    case BSON_TYPE_DOCUMENT:
    case BSON_TYPE_ARRAY: {
      const bool object = bson_iter_type(&iter) == BSON_TYPE_DOCUMENT;
      Json out = object ? Json::object() : Json::array();
      bson_iter_t child;
      if (bson_iter_recurse(&iter, &child)) {
        while (bson_iter_next(&child)) {
          if (object) {
            out[bson_iter_key(&child)] = json_of(child);
          } else {
            out.push_back(json_of(child));
          }
        }
      }
      return out;
    }
    case BSON_TYPE_UTF8:
      return std::string(text_of(iter));
    case BSON_TYPE_BOOL:
      return bson_iter_bool(&iter);
    case BSON_TYPE_INT32:
    case BSON_TYPE_INT64:
      return bson_iter_as_int64(&iter);
    case BSON_TYPE_DOUBLE:
      return bson_iter_double(&iter);
    case BSON_TYPE_DATE_TIME:
      return to_iso({bson_iter_date_time(&iter) * 1000});
    default:
      return nullptr;
  }
}

// ---- a record -----------------------------------------------------------------------------------

std::int64_t floor_milliseconds(std::int64_t microseconds) {
  return microseconds / 1000 - (microseconds % 1000 < 0 ? 1 : 0);
}

bool append_object(bson_t* to, const char* key, std::string_view text) {
  if (text.size() > column_max) {
    bson_append_null(to, key, -1);
    return false;
  }
  const auto value = parse_json(text);
  if (value && has_plain_keys(*value)) {
    append_json(to, key, *value);
  } else {
    append_text(to, key, text);
  }
  return true;
}

bool append_buffers(bson_t* to, const char* key, const std::optional<Message>& message) {
  const auto buffers = buffers_of(message);
  std::size_t bytes = 0;
  for (const auto& buffer : buffers) {
    bytes += buffer.bytes.size();
  }
  const bool fits = bytes <= buffers_max;
  bson_t list;
  bson_append_array_begin(to, key, -1, &list);
  for (std::size_t i = 0; fits && i < buffers.size(); ++i) {
    const auto name = std::to_string(i);
    const auto bytes_of = buffers[i].bytes;
    bson_append_binary(&list, name.c_str(), -1, BSON_SUBTYPE_BINARY,
                       reinterpret_cast<const std::uint8_t*>(bytes_of.data()),
                       static_cast<std::uint32_t>(bytes_of.size()));
  }
  bson_append_array_end(to, &list);
  return fits;
}

bool append_column(bson_t* to, Column column, std::optional<std::string_view> text) {
  const std::string name(column_name(column));
  if (!text) {
    bson_append_null(to, name.c_str(), -1);
    return true;
  }
  switch (column_kind(column)) {
    case ColumnKind::object:
      return append_object(to, name.c_str(), *text);
    case ColumnKind::date: {
      WallTime time;
      parse_iso(*text, time)
          ? bson_append_date_time(to, name.c_str(), -1, floor_milliseconds(time.microseconds))
          : bson_append_null(to, name.c_str(), -1);
      return true;
    }
    default:
      append_text(to, name.c_str(), text->substr(0, column_max));
      return text->size() <= column_max;
  }
}

/// Views into the document, and the texts that had to be made for some.
struct DocumentReader {
  RecordRow row{};
  std::map<Column, std::string> made{};
  std::vector<std::string_view> buffers{};
  std::vector<std::string_view> result_buffers{};

  void keep(Column column, std::string text) {
    const auto [slot, is_new] = made.insert_or_assign(column, std::move(text));
    row.columns.at(static_cast<std::size_t>(column)) = slot->second;
  }
  static void list(const bson_iter_t& iter, std::vector<std::string_view>& out) {
    bson_iter_t child;
    if (!BSON_ITER_HOLDS_ARRAY(&iter) || !bson_iter_recurse(&iter, &child)) {
      return;
    }
    while (bson_iter_next(&child)) {
      if (BSON_ITER_HOLDS_BINARY(&child)) {
        out.push_back(text_of(child));
      }
    }
  }
  void field(Column column, const bson_iter_t& iter) {
    const bool is_text = BSON_ITER_HOLDS_UTF8(&iter) || BSON_ITER_HOLDS_BINARY(&iter);
    switch (column_kind(column)) {
      case ColumnKind::buffers:
        list(iter, column == Column::buffers ? buffers : result_buffers);
        break;
      case ColumnKind::date:
        if (BSON_ITER_HOLDS_DATE_TIME(&iter)) {
          keep(column, iso_utc({bson_iter_date_time(&iter) * 1000}));
        }
        break;
      case ColumnKind::object:
        if (!is_text && bson_iter_type(&iter) != BSON_TYPE_NULL) {
          keep(column, dump_json(json_of(iter)));
          break;
        }
        [[fallthrough]];
      case ColumnKind::text:
        if (is_text) {
          row.columns.at(static_cast<std::size_t>(column)) = text_of(iter);
        }
    }
  }
};

// ---- a query ------------------------------------------------------------------------------------

/// The value as the column holds it; nothing when a comparison there would be of no help.
bool append_operand(bson_t* to, const char* key, ColumnKind kind, const Json& value) {
  if (value.is_null()) {
    bson_append_null(to, key, -1);
    return true;
  }
  if (kind == ColumnKind::text && value.is_string()) {
    append_text(to, key, value.get_ref<const std::string&>());
    return true;
  }
  if (kind == ColumnKind::date && value.is_number_integer()) {
    bson_append_date_time(to, key, -1, floor_milliseconds(value.get<std::int64_t>()));
    return true;
  }
  return false;
}

/// `{column: {"$op": operand}}`, or false and nothing.
bool append_condition(bson_t* to, const Condition& condition) {
  const ColumnKind kind = column_kind(condition.column);
  if (kind == ColumnKind::buffers) {
    return false;
  }
  const Json& operand = condition.operand;
  BsonDocument test;
  bool said = false;
  switch (condition.op) {
    case QueryOperator::eq:
      said = append_operand(test.get(), "$eq", kind, operand);
      break;
    case QueryOperator::ne:
      said = operand.is_null() && append_operand(test.get(), "$ne", kind, operand);
      break;
    case QueryOperator::exists: {
      const bool wanted = operand.is_boolean() ? operand.get<bool>() : operand != 0;
      said = append_operand(test.get(), wanted ? "$ne" : "$eq", kind, nullptr);
      break;
    }
    case QueryOperator::lt:
    case QueryOperator::lte:
    case QueryOperator::gt:
    case QueryOperator::gte: {
      // Dates are stored in milliseconds, so the bounds belong to the range.
      const bool lower = condition.op == QueryOperator::gt || condition.op == QueryOperator::gte;
      said =
          !operand.is_null() && append_operand(test.get(), lower ? "$gte" : "$lte", kind, operand);
      break;
    }
    case QueryOperator::in: {
      bson_t list;
      bson_append_array_begin(test.get(), "$in", -1, &list);
      said = operand.size() <= list_max;
      std::size_t place = 0;
      for (std::size_t i = 0; said && i < operand.size(); ++i) {
        const auto name = std::to_string(place);
        place += append_operand(&list, name.c_str(), kind, operand[i]) ? 1U : 0U;
      }
      bson_append_array_end(test.get(), &list);
      // What cannot be compared there must not be lost: only the types that never match are left
      // out.
      said = said && (kind == ColumnKind::text || place == operand.size());
      break;
    }
    default:
      break;
  }
  if (said) {
    bson_append_document(to, std::string(column_name(condition.column)).c_str(), -1, test.get());
  }
  return said;
}

}  // namespace

void append_text(bson_t* to, const char* key, std::string_view text) {
  const char* data = text.data() == nullptr ? "" : text.data();
  if (bson_utf8_validate(data, text.size(), true)) {
    bson_append_utf8(to, key, -1, data, length(text));
  } else {
    bson_append_binary(to, key, -1, BSON_SUBTYPE_BINARY,
                       reinterpret_cast<const std::uint8_t*>(data),
                       static_cast<std::uint32_t>(text.size()));
  }
}

bool append_record(bson_t* to, RowMaker& rows, const TaskRecord& record) {
  const RecordRow& row = rows.make(record);
  bool whole = true;
  for (std::size_t i = 0; i < column_count; ++i) {
    const auto column = static_cast<Column>(i);
    if (column == Column::buffers) {
      whole = append_buffers(to, "buffers", record.request) && whole;
    } else if (column == Column::result_buffers) {
      whole = append_buffers(to, "result_buffers", record.reply) && whole;
    } else {
      whole = append_column(to, column, row[column]) && whole;
    }
  }
  // A BSON date has no microseconds; the other three dates are in the headers, too.
  if (record.received) {
    bson_append_int64(to, "ipyfleet.received", -1, record.received->microseconds);
  }
  return whole;
}

TaskRecord record_of_document(const bson_t* document) {
  DocumentReader reader;
  std::optional<WallTime> received;
  bson_iter_t iter;
  if (bson_iter_init(&iter, document)) {
    while (bson_iter_next(&iter)) {
      const std::string_view key = bson_iter_key(&iter);
      if (const auto column = find_column(key)) {
        reader.field(*column, iter);
      } else if (bson_iter_t child; key == "ipyfleet" && BSON_ITER_HOLDS_DOCUMENT(&iter) &&
                                    bson_iter_recurse(&iter, &child)) {
        while (bson_iter_next(&child)) {
          if (std::string_view(bson_iter_key(&child)) == "received") {
            received = WallTime{bson_iter_as_int64(&child)};
          }
        }
      }
    }
  }
  TaskRecord record = record_of_row(reader.row, reader.buffers, reader.result_buffers);
  if (received && record.received) {
    record.received = received;
  }
  return record;
}

void append_filter(bson_t* to, const StoreQuery& query) {
  bson_t all;
  BsonDocument conditions;
  std::size_t count = 0;
  for (const auto& condition : query.conditions()) {
    BsonDocument one;
    if (append_condition(one.get(), condition)) {
      bson_append_document(conditions.get(), std::to_string(count++).c_str(), -1, one.get());
    }
  }
  if (count == 0) {
    return;  // everything
  }
  bson_append_array_begin(to, "$and", -1, &all);
  bson_concat(&all, conditions.get());
  bson_append_array_end(to, &all);
}

}  // namespace ipf
