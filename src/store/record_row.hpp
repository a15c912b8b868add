#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hub/record_columns.hpp"
#include "hub/task_record.hpp"

namespace ipf {

/// One record as the columns of protocol.md 7.2, all of them text: what a database stores.
///
/// - text: as it is. date: ISO with six digits and `+00:00`, so that the order of the texts is the
///   order of the times. object: JSON text. A missing value, broken JSON and `null` are nothing.
/// - buffers are not here; see buffers_of().
struct RecordRow {
  std::array<std::optional<std::string_view>, column_count> columns{};

  [[nodiscard]] const std::optional<std::string_view>& operator[](Column column) const {
    return columns.at(static_cast<std::size_t>(column));
  }
};

/// Makes rows out of records without copying frames. One thread.
class RowMaker {
 public:
  RowMaker();
  ~RowMaker();
  RowMaker(const RowMaker&) = delete;
  RowMaker& operator=(const RowMaker&) = delete;

  /// The views are valid until the next call and while the record lives.
  const RecordRow& make(const TaskRecord& record);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

/// The way back: a record whose columns read the same. Frames that no column holds (identities,
/// signature, the request's parent) are empty.
TaskRecord record_of_row(const RecordRow& row,
                         const std::vector<std::string_view>& buffers,
                         const std::vector<std::string_view>& result_buffers);

/// `2026-11-21T01:40:35.193815+00:00`, always with a year of four digits.
std::string iso_utc(WallTime time);

}  // namespace ipf
