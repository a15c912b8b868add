#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "ipyfleet/value.hpp"

namespace ipf {

/// A function on the engines. Text converts to one, and what it is follows from what it looks like:
///
///   "math.sqrt"                     imported on the engine
///   "model"                         the name of something in the engine's namespace, or a builtin
///   "lambda x: x + 1"               an expression, evaluated in the engine's namespace
///   "def f(x):\n  return x + 1"     statements, executed in the engine's namespace, which keeps
///                                   what they define; the function is what they define last
class Function {
 public:
  Function(std::string_view text);  // NOLINT(google-explicit-constructor)
  Function(const char* text) : Function(std::string_view(text)) {}         // NOLINT
  Function(const std::string& text) : Function(std::string_view(text)) {}  // NOLINT

  /// By module and name. Write "module:Class.method" where the dots do not tell them apart.
  static Function imported(std::string name) { return {Value(std::move(name)), true}; }
  /// Any Python expression whose value can be called, evaluated in the engine's namespace:
  /// "np.sum" where the engine has done `import numpy as np`.
  static Function expression(std::string python) {
    return {Value::expression(std::move(python)), false};
  }
  static Function statements(std::string_view python);

  [[nodiscard]] const Value& value() const { return value_; }
  [[nodiscard]] bool is_imported() const { return imported_; }

 private:
  Function(Value value, bool imported) : value_(std::move(value)), imported_(imported) {}

  Value value_;
  bool imported_{false};
};

/// Keyword arguments of a call, anywhere among its arguments: `apply("f", 1, Keywords{{"k", 2}})`.
struct Keywords {
  Keywords(std::initializer_list<std::pair<std::string, Value>> list) : entries(list) {}
  std::vector<std::pair<std::string, Value>> entries;
};

/// A function with its arguments, as apply() takes it.
struct Call {
  Function function;
  std::vector<Value> arguments{};
  std::vector<std::pair<std::string, Value>> keywords{};

  template <class... A>
  static Call of(Function function, const A&... arguments) {
    Call call{.function = std::move(function)};
    call.arguments.reserve(sizeof...(A));
    (call.add(arguments), ...);
    return call;
  }
  template <class A>
  void add(const A& argument) {
    if constexpr (std::is_same_v<A, Keywords>) {
      keywords.insert(keywords.end(), argument.entries.begin(), argument.entries.end());
    } else {
      arguments.emplace_back(argument);
    }
  }
};

}  // namespace ipf
