#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hub/task_record.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

/// The columns of a task record in the order of protocol.md 7.2, and `display_data` behind them.
enum class Column {
  msg_id,
  header,
  metadata,
  content,
  buffers,
  submitted,
  client_uuid,
  engine_uuid,
  started,
  completed,
  resubmitted,
  received,
  result_header,
  result_metadata,
  result_content,
  result_buffers,
  queue,
  execute_input,
  execute_result,
  error,
  stdout_text,
  stderr_text,
  label,
  display_data,
};
inline constexpr std::size_t column_count = 24;

enum class ColumnKind { text, date, object, buffers };

/// The name on the wire, `stdout` for Column::stdout_text.
[[nodiscard]] std::string_view column_name(Column column);
[[nodiscard]] ColumnKind column_kind(Column column);
[[nodiscard]] std::optional<Column> find_column(std::string_view name);

/// The text of the column `queue`.
[[nodiscard]] std::string_view queue_name(TaskQueue queue);

/// Reads columns out of one record, which must outlive the reader. Each frame is parsed at most
/// once and only when a column needs it. Broken JSON in a frame reads as null. Never throws.
class RecordReader {
 public:
  explicit RecordReader(const TaskRecord& record) : record_(record) {}

  /// Text, object or null; dates as ISO text; buffer columns are null here.
  [[nodiscard]] Json column(Column column);
  /// A date column; missing when the record has none or its text is no date.
  [[nodiscard]] std::optional<WallTime> date(Column column);

 private:
  enum Frame : std::size_t {
    header,
    metadata,
    content,
    result_header,
    result_metadata,
    result_content
  };
  static constexpr std::size_t frame_count = 6;

  [[nodiscard]] std::string_view frame_text(Frame frame) const;
  const Json& frame(Frame frame);
  [[nodiscard]] Json text_column(Column column);

  const TaskRecord& record_;
  std::array<std::optional<Json>, frame_count> parsed_{};
};

/// The buffers of the request or the reply, without copying.
[[nodiscard]] std::vector<SharedBytes> buffers_of(const std::optional<Message>& message);

/// The named columns and always msg_id, as a record of db_reply; without the two buffer columns,
/// which travel as frames.
[[nodiscard]] Json record_to_json(const TaskRecord& record, const std::vector<Column>& columns);

/// All columns but the two buffer columns.
[[nodiscard]] std::vector<Column> all_json_columns();

}  // namespace ipf
