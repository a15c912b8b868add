#include "hub/task_record.hpp"

namespace ipf {

bool is_finished(const TaskRecord& record) {
  return record.reply.has_value() || !record.request.has_value();
}

std::size_t held_bytes(const TaskRecord& record) {
  std::size_t bytes = sizeof(TaskRecord) + record.msg_id.size() + record.engine_uuid.size() +
                      record.resubmitted.size();
  bytes += record.request ? record.request->frames().total_bytes() : 0;
  bytes += record.reply ? record.reply->frames().total_bytes() : 0;
  bytes += record.stdout_text.text.size() + record.stderr_text.text.size();
  return bytes + record.execute_input.size() + record.execute_result.size() + record.error.size() +
         record.display_data.size();
}

}  // namespace ipf
