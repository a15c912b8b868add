#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "core/clock.hpp"
#include "hub/hub_events.hpp"
#include "protocol/message.hpp"

namespace ipf {

/// What one task may keep beside the frames of its request and reply.
struct RecordLimits {
  std::size_t stream_bytes_max{1UL << 20U};   ///< stdout and stderr each, then a truncation mark
  std::size_t output_bytes_max{16UL << 20U};  ///< each of execute_input/result, error, display_data
};

/// stdout or stderr of a task, cut at RecordLimits::stream_bytes_max.
struct StreamText {
  std::string text{};
  bool truncated{false};
};

/// Everything that is known of one task, compactly: the request and the reply are the frames that
/// passed the controller, unparsed and shared, and the columns of protocol.md 7.2 are read out of
/// them when somebody asks (record_columns.hpp). The outputs are the JSON text of the last message
/// of that kind. Cheap to copy but for the texts. Changed by apply_change() (record_change.hpp)
/// only.
struct TaskRecord {
  std::string msg_id{};
  std::optional<Message> request{};
  std::optional<Message> reply{};
  std::optional<TaskQueue> queue{};
  std::string engine_uuid{};  ///< empty: not assigned, or a failure made by the scheduler
  std::optional<WallTime> received{};
  std::string resubmitted{};  ///< the msg_id of the copy, or empty
  StreamText stdout_text{};
  StreamText stderr_text{};
  std::string execute_input{};  ///< JSON text of the content, as are the next three; empty: none
  std::string execute_result{};
  std::string error{};
  std::string display_data{};
};

/// Whether nothing more is expected of the task: it was answered, or its request never came by (an
/// output of a broadcast, which has no request of its own).
[[nodiscard]] bool is_finished(const TaskRecord& record);

/// Bytes that the record keeps alive, frames included.
[[nodiscard]] std::size_t held_bytes(const TaskRecord& record);

}  // namespace ipf
