#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "hub/glob_pattern.hpp"
#include "hub/record_columns.hpp"
#include "hub/task_record.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

enum class QueryOperator { eq, ne, lt, lte, gt, gte, in, nin, all, mod, exists, glob };

[[nodiscard]] std::string_view operator_name(QueryOperator op);

/// Bounds of one query.
struct QueryLimits {
  std::size_t conditions_max{64};
  std::size_t list_items_max{100'000};  ///< of $in, $nin, $all
  std::size_t text_bytes_max{1UL << 20U};
  std::size_t depth_max{16};
};

/// One test of one column. For a date column, dates in `operand` are integers: microseconds since
/// 1970. The list of $in and $nin is sorted.
struct Condition {
  Column column{Column::msg_id};
  QueryOperator op{QueryOperator::eq};
  Json operand{};
  std::optional<GlobPattern> glob{};
};

/// A query of db_request (protocol.md 7.4), parsed and checked: a dictionary
/// `column: value` or `column: {operator: operand, ...}`, all of which must hold.
///
/// Meaning, the same for every backend:
/// - `{}` matches everything.
/// - A missing value is null. `$eq`/`$ne` and plain values compare deeply; null equals null.
/// - `$lt $lte $gt $gte` compare numbers with numbers, texts with texts, dates with dates; anything
///   else does not match.
/// - `$in`, `$nin`: equal to one / to none of the list.
/// - `$all`: a list column has every item; any other value equals every item. `[]` matches nothing.
/// - `$mod: [divisor, remainder]`: whole numbers only.
/// - `$exists: true` is "not null".
/// - `$glob`: shell pattern on texts and on dates in ISO form.
/// - On the date columns (submitted, started, completed, received) an ISO text is a time, so that
///   zones and digits do not matter; a text that is no date is an error.
class StoreQuery {
 public:
  /// Matches everything.
  StoreQuery() = default;

  /// Unknown columns and operators are not_found (KeyError); bad operands are invalid_argument
  /// (ValueError); too_large when over a limit.
  static Result<StoreQuery> parse(const Json& query, const QueryLimits& limits = {});

  /// The queries that the hub itself asks.
  static StoreQuery completed();
  static StoreQuery completed_on(const std::string& engine_uuid);

  [[nodiscard]] const std::vector<Condition>& conditions() const { return conditions_; }

  /// The only msg_ids that can match, when the query names them by equality or $in: a store then
  /// looks these up instead of scanning. Sorted, without duplicates.
  [[nodiscard]] std::optional<std::vector<std::string>> wanted_msg_ids() const;

 private:
  std::vector<Condition> conditions_;
};

/// Whether one value passes one test; `value` is null when missing, and microseconds for a date.
[[nodiscard]] bool holds(const Condition& condition, const Json& value);

[[nodiscard]] bool matches(const TaskRecord& record, const StoreQuery& query);

/// What a query gets that more than `most` records match.
[[nodiscard]] Unexpected too_many_records(std::size_t most);

/// The msg_id of a query that names exactly one.
[[nodiscard]] std::optional<std::string> wanted_msg_id(const StoreQuery& query);

}  // namespace ipf
