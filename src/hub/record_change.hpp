#pragma once

#include "hub/store.hpp"
#include "hub/task_record.hpp"

namespace ipf {

/// Applies one change to the record; the only function that changes a record. Output beyond the
/// limits is replaced by a mark that says so.
void apply_change(TaskRecord& record, RecordChange change, const RecordLimits& limits);

/// Whether this change begins a record when there is none. Assignments and resubmissions do not:
/// they name a task whose record was culled or purged, and nothing would ever complete it.
[[nodiscard]] bool begins_record(const RecordChange& change);

}  // namespace ipf
