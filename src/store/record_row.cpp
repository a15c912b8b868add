#include "store/record_row.hpp"

#include <deque>

#include "core/check.hpp"
#include "protocol/frames.hpp"
#include "protocol/json_members.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

constexpr std::size_t year_digits = 4;

std::optional<TaskQueue> queue_of(const std::optional<std::string_view>& text) {
  for (const TaskQueue queue : {TaskQueue::mux, TaskQueue::task, TaskQueue::broadcast}) {
    if (text == queue_name(queue)) {
      return queue;
    }
  }
  return std::nullopt;
}

Message message_of(std::string_view header,
                   std::string_view parent,
                   const std::optional<std::string_view>& metadata,
                   const std::optional<std::string_view>& content,
                   const std::vector<std::string_view>& buffers) {
  FramesBuilder builder;
  builder.add(delimiter);
  builder.add(std::string_view{});
  builder.add(header);
  builder.add(parent);
  builder.add(metadata.value_or(std::string_view{}));
  builder.add(content.value_or(std::string_view{}));
  for (const auto buffer : buffers) {
    builder.add(buffer);
  }
  auto message = Message::split(builder.finish());
  IPF_CHECK(message);
  return std::move(*message);
}

}  // namespace

std::string iso_utc(WallTime time) {
  std::string text = to_iso(time);
  const auto year_end = text.find('-');
  if (year_end < year_digits) {
    text.insert(0, year_digits - year_end, '0');
  }
  text.replace(text.size() - 1, 1, "+00:00");
  return text;
}

struct RowMaker::Parts {
  std::optional<std::string_view> keep(std::string text) {
    kept.push_back(std::move(text));
    return kept.back();
  }
  std::optional<std::string_view> date(const std::optional<std::string_view>& iso) {
    WallTime time;
    if (!iso || !parse_iso(*iso, time)) {
      return std::nullopt;
    }
    return keep(iso_utc(time));
  }
  /// JSON text of any kind but null.
  std::optional<std::string_view> value(std::string_view text) {
    return other.is_value(text) ? std::optional(text) : std::nullopt;
  }
  std::optional<std::string_view>& at(Column column) {
    return row.columns.at(static_cast<std::size_t>(column));
  }
  void request_columns(const TaskRecord& record);
  void reply_columns(const TaskRecord& record);
  void other_columns(const TaskRecord& record);

  JsonMembers header;
  JsonMembers other;
  std::deque<std::string> kept;
  RecordRow row;
};

RowMaker::RowMaker() : parts_(std::make_unique<Parts>()) {}
RowMaker::~RowMaker() = default;

void RowMaker::Parts::request_columns(const TaskRecord& record) {
  // A reply repeats the header of its request, which may be all there is.
  const auto header_text = record.request ? record.request->header()
                           : record.reply ? record.reply->parent()
                                          : std::string_view{};
  if (header.open(header_text)) {
    at(Column::header) = header_text;
    at(Column::submitted) = date(header.text("date"));
    if (const auto session = header.text("session")) {
      at(Column::client_uuid) = keep(std::string(*session));
    }
  }
  if (!record.request) {
    return;
  }
  if (other.open(record.request->metadata())) {
    at(Column::metadata) = record.request->metadata();
    if (const auto label = other.text("label")) {
      at(Column::label) = keep(std::string(*label));
    }
  }
  if (other.open(record.request->content())) {
    at(Column::content) = record.request->content();
  }
}

void RowMaker::Parts::reply_columns(const TaskRecord& record) {
  if (!record.reply) {
    return;
  }
  if (other.open(record.reply->header())) {
    at(Column::result_header) = record.reply->header();
    at(Column::completed) = date(other.text("date"));
  }
  if (other.open(record.reply->metadata())) {
    at(Column::result_metadata) = record.reply->metadata();
    at(Column::started) = date(other.text("started"));
  }
  if (other.open(record.reply->content())) {
    at(Column::result_content) = record.reply->content();
  }
}

void RowMaker::Parts::other_columns(const TaskRecord& record) {
  at(Column::msg_id) = record.msg_id;
  if (!record.engine_uuid.empty() || record.reply) {
    at(Column::engine_uuid) = record.engine_uuid;
  }
  if (!record.resubmitted.empty()) {
    at(Column::resubmitted) = record.resubmitted;
  }
  if (record.received) {
    at(Column::received) = keep(iso_utc(*record.received));
  }
  if (record.queue) {
    at(Column::queue) = queue_name(*record.queue);
  }
  at(Column::stdout_text) = record.stdout_text.text;
  at(Column::stderr_text) = record.stderr_text.text;
  at(Column::execute_result) = value(record.execute_result);
  at(Column::error) = value(record.error);
  at(Column::display_data) = value(record.display_data);
  if (other.open(record.execute_input)) {
    if (const auto code = other.text("code")) {
      at(Column::execute_input) = keep(std::string(*code));
    }
  }
}

const RecordRow& RowMaker::make(const TaskRecord& record) {
  parts_->row = {};
  parts_->kept.clear();
  parts_->request_columns(record);
  parts_->reply_columns(record);
  parts_->other_columns(record);
  return parts_->row;
}

TaskRecord record_of_row(const RecordRow& row,
                         const std::vector<std::string_view>& buffers,
                         const std::vector<std::string_view>& result_buffers) {
  const auto text = [&row](Column column) {
    return std::string(row[column].value_or(std::string_view{}));
  };
  TaskRecord record{.msg_id = text(Column::msg_id)};
  record.queue = queue_of(row[Column::queue]);
  record.engine_uuid = text(Column::engine_uuid);
  record.resubmitted = text(Column::resubmitted);
  record.stdout_text.text = text(Column::stdout_text);
  record.stderr_text.text = text(Column::stderr_text);
  record.execute_result = text(Column::execute_result);
  record.error = text(Column::error);
  record.display_data = text(Column::display_data);
  if (const auto& code = row[Column::execute_input]) {
    record.execute_input = dump_json({{"code", *code}});
  }
  const auto header = row[Column::header].value_or(std::string_view{});
  if (record.queue || row[Column::metadata]) {
    record.request = message_of(header, "{}", row[Column::metadata], row[Column::content], buffers);
  }
  if (row[Column::received] || row[Column::result_header]) {
    record.reply =
        message_of(row[Column::result_header].value_or(std::string_view{}), header,
                   row[Column::result_metadata], row[Column::result_content], result_buffers);
  }
  WallTime received;
  if (row[Column::received] && parse_iso(*row[Column::received], received)) {
    record.received = received;
  }
  return record;
}

}  // namespace ipf
