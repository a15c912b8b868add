#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "hub/store_query.hpp"

namespace ipf {

/// An SQL condition that holds for every record that matches a query, and maybe for others: it only
/// narrows the search. The table has the alias `t`. What SQL cannot say, or not in the same
/// meaning, is left out of it.
struct SqlFilter {
  std::string where{"1"};             ///< with `?` for the values; column names are ours
  std::vector<std::string> values{};  ///< to bind as text, in order
};

/// Lists of more items are left out: they are cheaper to compare than to bind.
inline constexpr std::size_t sql_list_max = 500;

[[nodiscard]] SqlFilter sql_filter(const StoreQuery& query);

}  // namespace ipf
