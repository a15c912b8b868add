#pragma once

#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "hub/store_query.hpp"
#include "hub/task_record.hpp"
#include "protocol/json_members.hpp"

namespace ipf {

/// The columns of a record that queries ask by, in 48 bytes: times, and hashes of texts. What does
/// not fit them cannot match; what fits has to be looked at.
struct RecordKeys {
  static constexpr std::int64_t no_time = std::numeric_limits<std::int64_t>::min();
  static constexpr std::uint32_t no_text = 0;

  std::int64_t submitted{no_time};
  std::int64_t completed{no_time};
  std::int64_t received{no_time};
  std::uint32_t client_uuid{no_text};
  std::uint32_t engine_uuid{no_text};
  std::uint32_t label{no_text};
  std::uint32_t resubmitted{no_text};
  std::uint32_t queue{no_text};
};

/// The hash of a text in RecordKeys, never no_text.
[[nodiscard]] std::uint32_t key_of(std::string_view text);

[[nodiscard]] RecordKeys keys_of(const TaskRecord& record, JsonMembers& reader);

/// What a query says about RecordKeys.
class KeyFilter {
 public:
  explicit KeyFilter(const StoreQuery& query);

  /// False when a record with these keys cannot match the query.
  [[nodiscard]] bool may_match(const RecordKeys& keys) const;
  /// False when it says nothing: every record has to be looked at.
  [[nodiscard]] bool narrows() const { return !texts_.empty() || !times_.empty(); }

 private:
  struct Text {
    std::uint32_t RecordKeys::* column{};
    std::vector<std::uint32_t> wanted{};  ///< sorted; no_text for null
  };
  struct Time {
    std::int64_t RecordKeys::* column{};
    const Condition* condition{};
  };
  const StoreQuery& query_;  ///< must outlive the filter
  std::vector<Text> texts_;
  std::vector<Time> times_;
};

}  // namespace ipf
