// The expressions of batch templates: a recursive descent over a few operators.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/log.hpp"
#include "launcher/template_format.hpp"

namespace ipf {

using nlohmann::json;

namespace {

constexpr int depth_max = 50;
constexpr std::int64_t exponent_max = 62;

Unexpected bad(std::string message) {
  return unexpected(ErrorCode::invalid_argument, std::move(message));
}

using Number = Result<json>;

bool whole(const json& value) {
  return value.is_number_integer() || value.is_boolean();
}

std::int64_t to_whole(const json& value) {
  return value.is_boolean() ? (value.get<bool>() ? 1 : 0) : value.get<std::int64_t>();
}

double to_double(const json& value) {
  return whole(value) ? static_cast<double>(to_whole(value)) : value.get<double>();
}

Number finite(double value) {
  return std::isfinite(value) ? Number{json(value)} : Number{bad("the result is no number")};
}

/// a ** b for whole numbers; b is not negative.
Number power(std::int64_t base, std::int64_t exponent) {
  if (exponent > exponent_max) {
    return bad("the exponent is too large");
  }
  std::int64_t out = 1;
  for (; exponent > 0; --exponent) {
    if (__builtin_mul_overflow(out, base, &out)) {
      return bad("the result is too large");
    }
  }
  return json(out);
}

Number whole_operation(std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &out);
  } else if (b == -1) {  // the smallest number has no counterpart
    if (op == "%") {
      return json(0);
    }
    overflow = __builtin_sub_overflow(std::int64_t{0}, a, &out);
  } else {  // Python rounds towards minus infinity
    const bool down = a % b != 0 && (a < 0) != (b < 0);
    out = op == "//" ? a / b - (down ? 1 : 0) : a % b + (down ? b : 0);
  }
  return overflow ? Number{bad("the result is too large")} : Number{json(out)};
}

Number decimal_operation(std::string_view op, double a, double b) {
  if (op == "+") {
    return finite(a + b);
  }
  if (op == "-") {
    return finite(a - b);
  }
  if (op == "*") {
    return finite(a * b);
  }
  if (op == "**") {
    return finite(std::pow(a, b));
  }
  if (op == "/") {
    return finite(a / b);
  }
  return finite(op == "//" ? std::floor(a / b) : a - b * std::floor(a / b));
}

Number operation(std::string_view op, const json& a, const json& b) {
  if (op == "+" && a.is_string() && b.is_string()) {
    return json(a.get<std::string>() + b.get<std::string>());
  }
  if (!(a.is_number() || a.is_boolean()) || !(b.is_number() || b.is_boolean())) {
    return bad("'" + std::string{op} + "' does not go with a text");
  }
  if ((op == "/" || op == "//" || op == "%") && to_double(b) == 0) {
    return bad("division by zero");
  }
  if (whole(a) && whole(b) && op != "/") {
    if (op != "**") {
      return whole_operation(op, to_whole(a), to_whole(b));
    }
    if (to_whole(b) >= 0) {
      return power(to_whole(a), to_whole(b));
    }
  }
  return decimal_operation(op, to_double(a), to_double(b));
}

class Parser {
 public:
  Parser(std::string_view text, const json& scope) : text_(text), scope_(scope) {}

  Number parse() {
    Number out = sum();
    if (out && !rest().empty()) {
      return bad("'" + printable(rest()) + "' is not understood");
    }
    return out;
  }

 private:
  std::string_view rest() {
    while (!text_.empty() && std::isspace(static_cast<unsigned char>(text_[0])) != 0) {
      text_.remove_prefix(1);
    }
    return text_;
  }

  bool take(std::string_view token) {
    if (!rest().starts_with(token)) {
      return false;
    }
    text_.remove_prefix(token.size());
    return true;
  }

  /// The first of the operators that stands next; `**` is none of them.
  std::optional<std::string_view> take_one(std::initializer_list<std::string_view> operators) {
    for (const std::string_view op : operators) {
      if (!(op == "*" && rest().starts_with("**")) && take(op)) {
        return op;
      }
    }
    return std::nullopt;
  }

  template <class Next>
  Number chain(std::initializer_list<std::string_view> operators, Next next) {
    Number left = next();
    while (left) {
      const auto op = take_one(operators);
      if (!op) {
        break;
      }
      Number right = next();
      if (!right) {
        return right;
      }
      left = operation(*op, *left, *right);
    }
    return left;
  }

  Number sum() {
    return chain({"+", "-"}, [this] { return product(); });
  }
  Number product() {
    return chain({"//", "/", "%", "*"}, [this] { return factor(); });
  }

  Number factor() {
    if (++depth_ > depth_max) {
      return bad("it is nested too deeply");
    }
    Number out = signed_factor();
    --depth_;
    return out;
  }

  Number signed_factor() {
    if (take("-")) {
      Number value = factor();
      return value ? operation("-", json(0), *value) : value;
    }
    if (take("+")) {
      return factor();
    }
    Number base = atom();
    if (base && take("**")) {
      Number exponent = factor();
      return exponent ? operation("**", *base, *exponent) : exponent;
    }
    return base;
  }

  Number atom() {
    const std::string_view next = rest();
    if (next.empty()) {
      return bad("something is missing at the end");
    }
    if (take("(")) {
      Number out = sum();
      if (out && !take(")")) {
        return bad("a ')' is missing");
      }
      return out;
    }
    const char c = next[0];
    if (c == '\'' || c == '"') {
      const std::size_t end = next.find(c, 1);
      if (end == std::string_view::npos) {
        return bad("a quote is not closed");
      }
      text_.remove_prefix(end + 1);
      return json(std::string{next.substr(1, end - 1)});
    }
    if (std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '.') {
      return number(next);
    }
    return name(next);
  }

  Number number(std::string_view next) {
    const std::size_t size = std::min(next.find_first_not_of("0123456789."), next.size());
    const std::string_view digits = next.substr(0, size);
    text_.remove_prefix(size);
    if (digits.find('.') == std::string_view::npos) {
      std::int64_t value = 0;
      const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return read.ec == std::errc{} ? Number{json(value)} : Number{bad("a number is too large")};
    }
    double value = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return read.ec == std::errc{} && read.ptr == digits.data() + digits.size()
               ? Number{json(value)}
               : Number{bad("a number is wrong")};
  }

  Number name(std::string_view next) {
    const auto part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
    };
    const auto end = std::ranges::find_if_not(next, part);
    const std::string word{next.begin(), end};
    if (word.empty()) {
      return bad("'" + printable(next) + "' is not understood");
    }
    text_.remove_prefix(word.size());
    if (take("(")) {
      return call(word);
    }
    const auto found = scope_.find(word);
    if (found == scope_.end()) {
      std::string known;
      for (const auto& [key, value] : scope_.items()) {
        known += (known.empty() ? "" : ", ") + key;
      }
      return bad("unknown name '" + printable(word) + "'; known are: " + known);
    }
    return *found;
  }

  Number call(const std::string& function) {
    std::vector<json> arguments;
    while (!take(")")) {
      if (!arguments.empty() && !take(",")) {
        return bad("a ')' is missing");
      }
      Number value = sum();
      if (!value) {
        return value;
      }
      arguments.push_back(*value);
    }
    return apply(function, arguments);
  }

  static Number apply(const std::string& function, const std::vector<json>& arguments) {
    const auto numbers = std::ranges::all_of(
        arguments, [](const json& value) { return value.is_number() || value.is_boolean(); });
    const auto less = [](const json& a, const json& b) { return to_double(a) < to_double(b); };
    if ((function == "min" || function == "max") && !arguments.empty() && numbers) {
      return function == "min" ? *std::ranges::min_element(arguments, less)
                               : *std::ranges::max_element(arguments, less);
    }
    if (function == "int" && arguments.size() == 1 && numbers) {
      const double value = std::trunc(to_double(arguments[0]));
      constexpr double largest = 9e18;
      return whole(arguments[0])         ? Number{json(to_whole(arguments[0]))}
             : std::abs(value) < largest ? Number{json(static_cast<std::int64_t>(value))}
                                         : Number{bad("the result is too large")};
    }
    if (function == "int" && arguments.size() == 1) {
      const json found = json::parse(arguments[0].get<std::string>(), nullptr, false);
      return found.is_number_integer() ? Number{found} : Number{bad("int() got no whole number")};
    }
    if (function == "str" && arguments.size() == 1) {
      return json(arguments[0].is_string() ? arguments[0].get<std::string>() : arguments[0].dump());
    }
    return bad("'" + printable(function) +
               "' is no function with such arguments; known are: int, max, min, str");
  }

  std::string_view text_;
  const json& scope_;
  int depth_{};
};

}  // namespace

Result<json> evaluate_expression(std::string_view text, const json& scope) {
  return Parser(text, scope).parse();
}

}  // namespace ipf
