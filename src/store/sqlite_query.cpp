#include "store/sqlite_query.hpp"

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "store/record_row.hpp"

namespace ipf {

namespace {

constexpr std::string_view never = "0";
constexpr std::string_view always = "1";
constexpr std::int64_t second = 1'000'000;

/// Times whose ISO text has four digits of year.
bool has_text(std::int64_t microseconds) {
  constexpr std::int64_t year_1 = -62'135'596'800;
  constexpr std::int64_t year_9999 = 253'402'300'799;
  return microseconds >= year_1 * second && microseconds <= year_9999 * second;
}

/// The test of one column, or nothing when SQL is of no help.
class ConditionWriter {
 public:
  ConditionWriter(const Condition& condition, std::vector<std::string>& values)
      : condition_(condition),
        kind_(column_kind(condition.column)),
        name_("t.\"" + std::string(column_name(condition.column)) + "\""),
        values_(values) {}

  std::optional<std::string> write() {
    const Json& operand = condition_.operand;
    const bool is_null = operand.is_null();
    if (kind_ == ColumnKind::buffers || condition_.column == Column::display_data) {
      return std::nullopt;  // read as null; the other one is in another table
    }
    switch (condition_.op) {
      case QueryOperator::eq:
        return is_null ? name_ + " IS NULL" : equal_to_one(Json::array({operand}));
      case QueryOperator::ne:
        return is_null ? std::optional(name_ + " IS NOT NULL") : std::nullopt;
      case QueryOperator::exists:
        return name_ + ((operand.is_boolean() ? operand.get<bool>() : operand != 0) ? " IS NOT NULL"
                                                                                    : " IS NULL");
      case QueryOperator::in:
        return equal_to_one(operand);
      case QueryOperator::lt:
        return compare(" < ");
      case QueryOperator::lte:
        return compare(" <= ");
      case QueryOperator::gt:
        return compare(" > ");
      case QueryOperator::gte:
        return compare(" >= ");
      default:
        return std::nullopt;
    }
  }

 private:
  /// What the column can hold that equals the value; false when SQL cannot tell. Other programs
  /// write a time of whole seconds without a fraction.
  bool texts_of(const Json& value, std::vector<std::string>& out) const {
    if (kind_ == ColumnKind::text) {
      if (value.is_string()) {
        out.push_back(value.get<std::string>());
      }
      return true;
    }
    if (kind_ != ColumnKind::date || !value.is_number_integer()) {
      return kind_ == ColumnKind::date && !value.is_number();
    }
    const auto time = value.get<std::int64_t>();
    if (!has_text(time)) {
      return false;
    }
    out.push_back(iso_utc({time}));
    if (time % second == 0) {
      out.push_back(without_fraction(out.back()));
    }
    return true;
  }

  static std::string without_fraction(std::string iso) {
    constexpr std::size_t fraction_at = 19;
    return iso.erase(fraction_at, 7);
  }

  std::optional<std::string> equal_to_one(const Json& list) {
    std::vector<std::string> texts;
    bool null = false;
    for (const auto& item : list) {
      null = null || item.is_null();
      if (!item.is_null() && !texts_of(item, texts)) {
        return std::nullopt;
      }
    }
    if (texts.size() > sql_list_max) {
      return std::nullopt;
    }
    std::string sql(never);
    if (!texts.empty()) {
      sql = name_ + " IN (?";
      for (std::size_t i = 1; i < texts.size(); ++i) {
        sql += ",?";
      }
      sql += ')';
    }
    values_.insert(values_.end(), std::make_move_iterator(texts.begin()),
                   std::make_move_iterator(texts.end()));
    return null ? "(" + sql + " OR " + name_ + " IS NULL)" : sql;
  }

  std::optional<std::string> compare(const char* sign) {
    std::vector<std::string> texts;
    if (!texts_of(condition_.operand, texts)) {
      return std::nullopt;
    }
    if (texts.empty()) {
      return kind_ == ColumnKind::object ? std::nullopt : std::optional(std::string(never));
    }
    // The lower bound is the shorter text of a time, the upper bound the longer one.
    const bool lower = sign[1] == '>';
    values_.push_back(lower ? texts.back() : texts.front());
    return name_ + sign + "?";
  }

  const Condition& condition_;
  const ColumnKind kind_;
  const std::string name_;
  std::vector<std::string>& values_;
};

}  // namespace

SqlFilter sql_filter(const StoreQuery& query) {
  SqlFilter filter;
  std::string where;
  for (const auto& condition : query.conditions()) {
    if (auto sql = ConditionWriter(condition, filter.values).write()) {
      where += (where.empty() ? "" : " AND ") + *sql;
    }
  }
  filter.where = where.empty() ? std::string(always) : std::move(where);
  return filter;
}

}  // namespace ipf
