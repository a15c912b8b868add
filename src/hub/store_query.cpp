#include "hub/store_query.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "core/log.hpp"

namespace ipf {

namespace {

struct OperatorInfo {
  std::string_view name{};
  QueryOperator op{};
};

constexpr std::array<OperatorInfo, 12> operators{{
    {"$eq", QueryOperator::eq},
    {"$ne", QueryOperator::ne},
    {"$lt", QueryOperator::lt},
    {"$lte", QueryOperator::lte},
    {"$gt", QueryOperator::gt},
    {"$gte", QueryOperator::gte},
    {"$in", QueryOperator::in},
    {"$nin", QueryOperator::nin},
    {"$all", QueryOperator::all},
    {"$mod", QueryOperator::mod},
    {"$exists", QueryOperator::exists},
    {"$glob", QueryOperator::glob},
}};

Unexpected bad_operand(QueryOperator op, std::string_view why) {
  return unexpected(ErrorCode::invalid_argument,
                    std::string(operator_name(op)) + " " + std::string(why));
}

bool takes_list(QueryOperator op) {
  return op == QueryOperator::in || op == QueryOperator::nin || op == QueryOperator::all;
}

/// Texts over the limit and nesting over the limit.
Result<void> check_size(const Json& value, const QueryLimits& limits, std::size_t depth) {
  if (depth > limits.depth_max) {
    return unexpected(ErrorCode::too_large,
                      "query nested deeper than " + std::to_string(limits.depth_max));
  }
  if (value.is_string() && value.get_ref<const std::string&>().size() > limits.text_bytes_max) {
    return unexpected(ErrorCode::too_large,
                      "text in a query over " + std::to_string(limits.text_bytes_max) + " bytes");
  }
  if (value.is_structured()) {
    if (value.size() > limits.list_items_max) {
      return unexpected(ErrorCode::too_large,
                        "list in a query over " + std::to_string(limits.list_items_max) + " items");
    }
    for (const auto& item : value) {
      IPF_TRY(check_size(item, limits, depth + 1));
    }
  }
  return {};
}

/// Makes an ISO text the number of microseconds.
Result<void> normalise_date(Json& value, Column column) {
  if (!value.is_string()) {
    return {};
  }
  WallTime time;
  const auto& text = value.get_ref<const std::string&>();
  if (!parse_iso(text, time)) {
    return unexpected(
        ErrorCode::invalid_argument,
        "'" + std::string(column_name(column)) + "' holds dates; this is none: " + printable(text));
  }
  value = time.microseconds;
  return {};
}

Result<void> normalise_dates(Condition& condition) {
  if (!takes_list(condition.op)) {
    return normalise_date(condition.operand, condition.column);
  }
  for (auto& item : condition.operand) {
    IPF_TRY(normalise_date(item, condition.column));
  }
  return {};
}

Result<void> check_mod(const Json& operand) {
  if (!operand.is_array() || operand.size() != 2 || !operand[0].is_number_integer() ||
      !operand[1].is_number_integer()) {
    return bad_operand(QueryOperator::mod, "needs [divisor, remainder], two whole numbers");
  }
  if (operand[0] == 0) {
    return bad_operand(QueryOperator::mod, "cannot divide by 0");
  }
  return {};
}

Result<void> check_operand(Condition& condition) {
  Json& operand = condition.operand;
  switch (condition.op) {
    case QueryOperator::in:
    case QueryOperator::nin:
    case QueryOperator::all:
      return operand.is_array() ? Result<void>{} : bad_operand(condition.op, "needs a list");
    case QueryOperator::mod:
      return check_mod(operand);
    case QueryOperator::exists:
      return operand.is_boolean() || operand.is_number_integer()
                 ? Result<void>{}
                 : bad_operand(condition.op, "needs true or false");
    case QueryOperator::glob: {
      if (!operand.is_string()) {
        return bad_operand(condition.op, "needs a text");
      }
      auto pattern = GlobPattern::compile(operand.get_ref<const std::string&>());
      if (!pattern) {
        return unexpected(pattern.error());
      }
      condition.glob = std::move(*pattern);
      return {};
    }
    default:
      return {};
  }
}

Result<Condition> make_condition(Column column, QueryOperator op, const Json& operand) {
  Condition condition{.column = column, .op = op, .operand = operand};
  IPF_TRY(check_operand(condition));
  const bool compares =
      op != QueryOperator::glob && op != QueryOperator::mod && op != QueryOperator::exists;
  if (compares && column_kind(column) == ColumnKind::date) {
    IPF_TRY(normalise_dates(condition));
  }
  if (op == QueryOperator::in || op == QueryOperator::nin) {
    std::sort(condition.operand.begin(), condition.operand.end());
  }
  return condition;
}

/// Values that `<` means something for.
bool comparable(const Json& a, const Json& b) {
  return (a.is_number() && b.is_number()) || (a.is_string() && b.is_string());
}

bool divides(const Json& value, const Json& operand) {
  if (!value.is_number_integer()) {
    return false;
  }
  const auto number = value.get<std::int64_t>();
  const auto divisor = operand[0].get<std::int64_t>();
  const auto remainder = operand[1].get<std::int64_t>();
  // -1 divides everything; `%` with the smallest number would overflow.
  return divisor == -1 ? remainder == 0 : number % divisor == remainder;
}

bool has_all(const Json& value, const Json& wanted) {
  if (wanted.empty()) {
    return false;
  }
  return std::all_of(wanted.begin(), wanted.end(), [&value](const Json& item) {
    return value.is_array() ? std::find(value.begin(), value.end(), item) != value.end()
                            : value == item;
  });
}

bool is_true(const Json& flag) {
  return flag.is_boolean() ? flag.get<bool>() : flag != 0;
}

bool in_list(const Json& list, const Json& value) {
  return std::binary_search(list.begin(), list.end(), value);
}

}  // namespace

std::string_view operator_name(QueryOperator op) {
  const auto found = std::ranges::find(operators, op, &OperatorInfo::op);
  return found == operators.end() ? std::string_view{} : found->name;
}

Result<StoreQuery> StoreQuery::parse(const Json& query, const QueryLimits& limits) {
  if (!query.is_object()) {
    return unexpected(ErrorCode::invalid_argument, "a query must be a dictionary");
  }
  IPF_TRY(check_size(query, limits, 0));
  StoreQuery out;
  for (const auto& [name, value] : query.items()) {
    const auto column = find_column(name);
    if (!column) {
      return unexpected(ErrorCode::not_found, "Illegal testing key(s): " + printable(name));
    }
    if (!value.is_object()) {
      auto condition = make_condition(*column, QueryOperator::eq, value);
      if (!condition) {
        return unexpected(condition.error());
      }
      out.conditions_.push_back(std::move(*condition));
      continue;
    }
    for (const auto& [op_name, operand] : value.items()) {
      const auto op = std::ranges::find(operators, std::string_view(op_name), &OperatorInfo::name);
      if (op == operators.end()) {
        return unexpected(ErrorCode::not_found, "Unsupported operator: " + printable(op_name));
      }
      auto condition = make_condition(*column, op->op, operand);
      if (!condition) {
        return unexpected(condition.error());
      }
      out.conditions_.push_back(std::move(*condition));
    }
  }
  if (out.conditions_.size() > limits.conditions_max) {
    return unexpected(
        ErrorCode::too_large,
        "query of more than " + std::to_string(limits.conditions_max) + " conditions");
  }
  return out;
}

StoreQuery StoreQuery::completed() {
  StoreQuery out;
  out.conditions_.push_back(
      {.column = Column::completed, .op = QueryOperator::ne, .operand = nullptr});
  return out;
}

StoreQuery StoreQuery::completed_on(const std::string& engine_uuid) {
  StoreQuery out = completed();
  out.conditions_.push_back(
      {.column = Column::engine_uuid, .op = QueryOperator::eq, .operand = engine_uuid});
  return out;
}

std::optional<std::vector<std::string>> StoreQuery::wanted_msg_ids() const {
  for (const auto& condition : conditions_) {
    if (condition.column != Column::msg_id) {
      continue;
    }
    std::vector<std::string> ids;
    if (condition.op == QueryOperator::eq) {
      if (condition.operand.is_string()) {
        ids.push_back(condition.operand.get<std::string>());
      }
      return ids;  // a msg_id is always a text
    }
    if (condition.op == QueryOperator::in) {
      for (const auto& item : condition.operand) {
        if (item.is_string() && (ids.empty() || ids.back() != item.get_ref<const std::string&>())) {
          ids.push_back(item.get<std::string>());
        }
      }
      return ids;
    }
  }
  return std::nullopt;
}

bool holds(const Condition& condition, const Json& value) {
  const Json& operand = condition.operand;
  switch (condition.op) {
    case QueryOperator::eq:
      return value == operand;
    case QueryOperator::ne:
      return value != operand;
    case QueryOperator::lt:
      return comparable(value, operand) && value < operand;
    case QueryOperator::lte:
      return comparable(value, operand) && value <= operand;
    case QueryOperator::gt:
      return comparable(value, operand) && value > operand;
    case QueryOperator::gte:
      return comparable(value, operand) && value >= operand;
    case QueryOperator::in:
      return in_list(operand, value);
    case QueryOperator::nin:
      return !in_list(operand, value);
    case QueryOperator::all:
      return has_all(value, operand);
    case QueryOperator::mod:
      return divides(value, operand);
    case QueryOperator::exists:
      return value.is_null() != is_true(operand);
    case QueryOperator::glob:
      return value.is_string() && condition.glob &&
             condition.glob->matches(value.get_ref<const std::string&>());
  }
  return false;
}

bool matches(const TaskRecord& record, const StoreQuery& query) {
  RecordReader reader(record);
  return std::ranges::all_of(query.conditions(), [&reader](const Condition& condition) {
    if (column_kind(condition.column) != ColumnKind::date || condition.op == QueryOperator::glob) {
      return holds(condition, reader.column(condition.column));
    }
    const auto time = reader.date(condition.column);
    return holds(condition, time ? Json(time->microseconds) : Json());
  });
}

Unexpected too_many_records(std::size_t most) {
  return unexpected(ErrorCode::too_large,
                    "more than " + std::to_string(most) +
                        " records match; narrow the query, by `submitted` for example");
}

std::optional<std::string> wanted_msg_id(const StoreQuery& query) {
  auto ids = query.wanted_msg_ids();
  if (!ids || ids->size() != 1) {
    return std::nullopt;
  }
  return std::move(ids->front());
}

}  // namespace ipf
