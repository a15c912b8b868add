#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/result.hpp"

namespace ipf {

/// Replaces the fields of a batch template as ipyparallel does: `{name}`, `{n//4}`, `{max(n//4,
/// 1)}`,
/// `{n:03d}`; `{{` and `}}` stand for braces. `scope` is a JSON object of texts, numbers, true and
/// false.
///
/// Expressions know + - * / // % **, parentheses, min, max, int and str, with Python's meaning,
/// over whole and decimal numbers; + also joins texts. Nothing of Python runs. An Error names the
/// field, its line and, for an unknown name, the known ones.
Result<std::string> format_template(std::string_view text, const nlohmann::json& scope);

/// The value of one expression.
Result<nlohmann::json> evaluate_expression(std::string_view text, const nlohmann::json& scope);

}  // namespace ipf
