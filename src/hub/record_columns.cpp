#include "hub/record_columns.hpp"

#include <utility>

namespace ipf {

namespace {

struct ColumnInfo {
  std::string_view name{};
  ColumnKind kind{};
};

constexpr std::array<ColumnInfo, column_count> columns{{
    {"msg_id", ColumnKind::text},
    {"header", ColumnKind::object},
    {"metadata", ColumnKind::object},
    {"content", ColumnKind::object},
    {"buffers", ColumnKind::buffers},
    {"submitted", ColumnKind::date},
    {"client_uuid", ColumnKind::text},
    {"engine_uuid", ColumnKind::text},
    {"started", ColumnKind::date},
    {"completed", ColumnKind::date},
    {"resubmitted", ColumnKind::text},
    {"received", ColumnKind::date},
    {"result_header", ColumnKind::object},
    {"result_metadata", ColumnKind::object},
    {"result_content", ColumnKind::object},
    {"result_buffers", ColumnKind::buffers},
    {"queue", ColumnKind::text},
    {"execute_input", ColumnKind::text},
    {"execute_result", ColumnKind::object},
    {"error", ColumnKind::object},
    {"stdout", ColumnKind::text},
    {"stderr", ColumnKind::text},
    {"label", ColumnKind::text},
    {"display_data", ColumnKind::object},
}};

Json parsed_or_null(std::string_view text) {
  if (text.empty()) {
    return nullptr;
  }
  auto value = parse_json(text);
  return value ? std::move(value).value() : Json();
}

Json string_member(const Json& object, const char* key) {
  if (!object.is_object()) {
    return nullptr;
  }
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? *found : Json();
}

}  // namespace

std::string_view queue_name(TaskQueue queue) {
  switch (queue) {
    case TaskQueue::mux:
      return "mux";
    case TaskQueue::task:
      return "task";
    case TaskQueue::broadcast:
      return "broadcast";
  }
  return {};
}

std::string_view column_name(Column column) {
  return columns.at(static_cast<std::size_t>(column)).name;
}

ColumnKind column_kind(Column column) {
  return columns.at(static_cast<std::size_t>(column)).kind;
}

std::optional<Column> find_column(std::string_view name) {
  for (std::size_t i = 0; i < columns.size(); ++i) {
    if (columns.at(i).name == name) {
      return static_cast<Column>(i);
    }
  }
  return std::nullopt;
}

std::string_view RecordReader::frame_text(Frame frame) const {
  const auto& request = record_.request;
  const auto& reply = record_.reply;
  switch (frame) {
    case header:
      // A reply repeats the header of its request: all there is after a restart of the controller.
      return request ? request->header() : reply ? reply->parent() : std::string_view{};
    case metadata:
      return request ? request->metadata() : std::string_view{};
    case content:
      return request ? request->content() : std::string_view{};
    case result_header:
      return reply ? reply->header() : std::string_view{};
    case result_metadata:
      return reply ? reply->metadata() : std::string_view{};
    case result_content:
      return reply ? reply->content() : std::string_view{};
  }
  return {};
}

const Json& RecordReader::frame(Frame frame) {
  auto& slot = parsed_.at(frame);
  if (!slot) {
    slot = parsed_or_null(frame_text(frame));
    if (!slot->is_object()) {
      slot = Json();
    }
  }
  return *slot;
}

std::optional<WallTime> RecordReader::date(Column column) {
  Json text;
  switch (column) {
    case Column::submitted:
      text = string_member(frame(header), "date");
      break;
    case Column::started:
      text = string_member(frame(result_metadata), "started");
      break;
    case Column::completed:
      text = string_member(frame(result_header), "date");
      break;
    case Column::received:
      return record_.received;
    default:
      return std::nullopt;
  }
  WallTime time;
  if (!text.is_string() || !parse_iso(text.get_ref<const std::string&>(), time)) {
    return std::nullopt;
  }
  return time;
}

Json RecordReader::text_column(Column column) {
  switch (column) {
    case Column::msg_id:
      return record_.msg_id;
    case Column::client_uuid:
      return string_member(frame(header), "session");
    case Column::engine_uuid:
      return record_.engine_uuid.empty() && !record_.reply ? Json() : Json(record_.engine_uuid);
    case Column::resubmitted:
      return record_.resubmitted.empty() ? Json() : Json(record_.resubmitted);
    case Column::queue:
      return record_.queue ? Json(queue_name(*record_.queue)) : Json();
    case Column::execute_input:
      return string_member(parsed_or_null(record_.execute_input), "code");
    case Column::stdout_text:
      return record_.stdout_text.text;
    case Column::stderr_text:
      return record_.stderr_text.text;
    case Column::label:
      return string_member(frame(metadata), "label");
    default:
      return nullptr;
  }
}

Json RecordReader::column(Column column) {
  switch (column_kind(column)) {
    case ColumnKind::text:
      return text_column(column);
    case ColumnKind::date: {
      const auto time = date(column);
      return time ? Json(to_iso(*time)) : Json();
    }
    case ColumnKind::buffers:
      return nullptr;
    case ColumnKind::object:
      break;
  }
  switch (column) {
    case Column::header:
      return frame(header);
    case Column::metadata:
      return frame(metadata);
    case Column::content:
      return frame(content);
    case Column::result_header:
      return frame(result_header);
    case Column::result_metadata:
      return frame(result_metadata);
    case Column::result_content:
      return frame(result_content);
    case Column::execute_result:
      return parsed_or_null(record_.execute_result);
    case Column::error:
      return parsed_or_null(record_.error);
    default:
      return parsed_or_null(record_.display_data);
  }
}

std::vector<SharedBytes> buffers_of(const std::optional<Message>& message) {
  std::vector<SharedBytes> buffers;
  if (message) {
    buffers.reserve(message->buffer_count());
    for (std::size_t i = message->first_buffer(); i < message->frames().size(); ++i) {
      buffers.push_back(message->frames().shared(i));
    }
  }
  return buffers;
}

Json record_to_json(const TaskRecord& record, const std::vector<Column>& wanted) {
  RecordReader reader(record);
  Json out = {{"msg_id", record.msg_id}};
  for (const Column column : wanted) {
    if (column_kind(column) != ColumnKind::buffers) {
      out[std::string(column_name(column))] = reader.column(column);
    }
  }
  return out;
}

std::vector<Column> all_json_columns() {
  std::vector<Column> found;
  for (std::size_t i = 0; i < column_count; ++i) {
    if (columns.at(i).kind != ColumnKind::buffers) {
      found.push_back(static_cast<Column>(i));
    }
  }
  return found;
}

}  // namespace ipf
