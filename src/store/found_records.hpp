#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "hub/store_query.hpp"
#include "hub/task_record.hpp"

namespace ipf {

/// What a backend has found, in whatever order its database gave it.
class FoundRecords {
 public:
  explicit FoundRecords(std::size_t most) : most_(most) {}

  /// `place` orders the records: the sequence in which they came into the store. False once there
  /// are too many, and then nothing more needs to be read.
  [[nodiscard]] bool add(std::int64_t place, TaskRecord record) {
    if (found_.size() <= most_) {
      found_.emplace_back(place, std::move(record));
    }
    return found_.size() <= most_;
  }

  /// The records from the oldest to the newest, or the error that there are more than `most`.
  [[nodiscard]] Result<std::vector<TaskRecord>> in_order() && {
    if (found_.size() > most_) {
      return too_many_records(most_);
    }
    std::ranges::sort(found_, {}, &Placed::first);
    std::vector<TaskRecord> records;
    records.reserve(found_.size());
    for (auto& [place, record] : found_) {
      records.push_back(std::move(record));
    }
    return records;
  }

 private:
  using Placed = std::pair<std::int64_t, TaskRecord>;

  std::size_t most_;
  std::vector<Placed> found_{};
};

}  // namespace ipf
