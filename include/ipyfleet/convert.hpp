#pragma once

#include <array>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ipyfleet/value.hpp"

/// Convert<T> of the types that travel:
///
///   C++                                   Python
///   bool                                  bool
///   integers                              int, and out of range is a ConversionError
///   float, double                         float (from int too)
///   std::complex<double>                  complex
///   std::string, string_view, char*       str
///   std::vector<T>, std::array<T, n>      list (from tuple and set too; of numbers from an array
///   too) std::set<T>                           set std::map, std::unordered_map          dict
///   std::pair, std::tuple                 tuple (from list too)
///   std::optional<T>, std::nullopt_t      T or None
///   std::span<T>                          numpy array, copied; Array::take and share do not copy
///   Array                                 numpy array
///   Value                                 anything
namespace ipf {

namespace detail {
[[noreturn]] void out_of_range(const Value& value, std::size_t bytes, bool is_signed);
[[noreturn]] void wrong_length(const Value& value, std::size_t wanted);
[[noreturn]] void wrong_type(const Value& value, std::string_view wanted);
}  // namespace detail

template <>
struct Convert<bool> {
  static bool from_value(const Value& value) { return value.boolean(); }
};

template <std::integral T>
  requires(!std::same_as<T, bool>)
struct Convert<T> {
  static Value to_value(const T& number) {
    if constexpr (std::is_signed_v<T>) {
      return {static_cast<std::int64_t>(number)};
    } else {
      return {static_cast<std::uint64_t>(number)};
    }
  }
  static T from_value(const Value& value) {
    if constexpr (std::is_signed_v<T>) {
      const std::int64_t number = value.integer();
      if (!std::in_range<T>(number)) {
        detail::out_of_range(value, sizeof(T), true);
      }
      return static_cast<T>(number);
    } else {
      const std::uint64_t number = value.unsigned_integer();
      if (!std::in_range<T>(number)) {
        detail::out_of_range(value, sizeof(T), false);
      }
      return static_cast<T>(number);
    }
  }
};

template <std::floating_point T>
struct Convert<T> {
  static Value to_value(const T& number) { return {static_cast<double>(number)}; }
  static T from_value(const Value& value) { return static_cast<T>(value.real()); }
};

template <>
struct Convert<std::complex<double>> {
  static std::complex<double> from_value(const Value& value) { return value.complex(); }
};

template <>
struct Convert<std::string> {
  static std::string from_value(const Value& value) { return value.text(); }
};

template <>
struct Convert<std::nullopt_t> {
  static Value to_value(const std::nullopt_t& /*none*/) { return {}; }
};

template <>
struct Convert<Array> {
  static Array from_value(const Value& value) { return value.array(); }
};

template <class T>
struct Convert<std::optional<T>> {
  static Value to_value(const std::optional<T>& object) {
    return object ? Value(*object) : Value();
  }
  static std::optional<T> from_value(const Value& value) {
    return value.is_none() ? std::nullopt : std::optional<T>(value.template as<T>());
  }
};

template <class T>
  requires ArrayElement<std::remove_const_t<T>>
struct Convert<std::span<T>> {
  static Value to_value(const std::span<T>& elements) {
    return {Array::copy(std::span<const std::remove_const_t<T>>(elements))};
  }
};

namespace detail {

template <class Range>
Value to_list(const Range& range) {
  Value::List items;
  items.reserve(range.size());
  for (const auto& item : range) {
    items.emplace_back(static_cast<const typename Range::value_type&>(item));
  }
  return Value::list(std::move(items));
}

/// Numbers of an array of another type of number: safe where Python's would be.
template <class T>
std::vector<T> numbers_of(const Array& array, const Value& value) {
  const auto read = [&]<class U>(std::type_identity<U>) -> std::optional<std::vector<T>> {
    if (!array.holds<U>()) {
      return std::nullopt;
    }
    std::vector<T> out;
    out.reserve(array.size());
    for (const U element : array.elements<U>()) {
      if constexpr (std::integral<T> && std::floating_point<U>) {
        wrong_type(value, "an array of integers");
      } else if constexpr (std::integral<T>) {
        if (!std::in_range<T>(element)) {
          out_of_range(Value(element), sizeof(T), std::is_signed_v<T>);
        }
        out.push_back(static_cast<T>(element));
      } else {
        out.push_back(static_cast<T>(element));
      }
    }
    return out;
  };
  std::optional<std::vector<T>> out;
  const auto try_all = [&]<class... U>(std::type_identity<std::tuple<U...>>) {
    static_cast<void>(((out = read(std::type_identity<U>())) || ...));
  };
  try_all(std::type_identity<
          std::tuple<double, float, std::int64_t, std::int32_t, std::int16_t, std::int8_t,
                     std::uint64_t, std::uint32_t, std::uint16_t, std::uint8_t>>());
  if (!out) {
    wrong_type(value, "an array of numbers");
  }
  return std::move(*out);
}

}  // namespace detail

template <class T>
struct Convert<std::vector<T>> {
  static Value to_value(const std::vector<T>& items) { return detail::to_list(items); }
  static std::vector<T> from_value(const Value& value) {
    if constexpr (std::is_arithmetic_v<T> && !std::same_as<T, bool>) {
      if (value.kind() == Value::Kind::array && value.array().shape().size() == 1) {
        return detail::numbers_of<T>(value.array(), value);
      }
    }
    std::vector<T> out;
    out.reserve(value.items().size());
    for (const auto& item : value.items()) {
      out.push_back(item.template as<T>());
    }
    return out;
  }
};

template <class T, std::size_t Count>
struct Convert<std::array<T, Count>> {
  static Value to_value(const std::array<T, Count>& items) { return detail::to_list(items); }
  static std::array<T, Count> from_value(const Value& value) {
    const auto items = value.template as<std::vector<T>>();
    if (items.size() != Count) {
      detail::wrong_length(value, Count);
    }
    std::array<T, Count> out{};
    std::copy(items.begin(), items.end(), out.begin());
    return out;
  }
};

template <class T>
struct Convert<std::set<T>> {
  static Value to_value(const std::set<T>& items) {
    return Value::set(Value::List(items.begin(), items.end()));
  }
  static std::set<T> from_value(const Value& value) {
    const auto items = value.template as<std::vector<T>>();
    return {items.begin(), items.end()};
  }
};

template <class Map>
concept KeyedMap = requires(Map map) {
  typename Map::key_type;
  typename Map::mapped_type;
  map.emplace(std::declval<typename Map::key_type>(), std::declval<typename Map::mapped_type>());
};

template <KeyedMap Map>
struct Convert<Map> {
  static Value to_value(const Map& map) {
    Value::Dict entries;
    entries.reserve(map.size());
    for (const auto& [key, mapped] : map) {
      entries.emplace_back(Value(key), Value(mapped));
    }
    return Value::dict(std::move(entries));
  }
  static Map from_value(const Value& value) {
    Map out;
    for (const auto& [key, mapped] : value.entries()) {
      out.emplace(key.template as<typename Map::key_type>(),
                  mapped.template as<typename Map::mapped_type>());
    }
    return out;
  }
};

template <class... T>
struct Convert<std::tuple<T...>> {
  static Value to_value(const std::tuple<T...>& items) {
    return std::apply([](const auto&... item) { return Value::tuple(Value::List{Value(item)...}); },
                      items);
  }
  static std::tuple<T...> from_value(const Value& value) {
    const auto& items = value.items();
    if (items.size() != sizeof...(T)) {
      detail::wrong_length(value, sizeof...(T));
    }
    return [&]<std::size_t... Index>(std::index_sequence<Index...>) {
      return std::tuple<T...>{items[Index].template as<T>()...};
    }(std::index_sequence_for<T...>());
  }
};

template <class A, class B>
struct Convert<std::pair<A, B>> {
  static Value to_value(const std::pair<A, B>& items) {
    return Value::tuple({Value(items.first), Value(items.second)});
  }
  static std::pair<A, B> from_value(const Value& value) {
    auto items = value.template as<std::tuple<A, B>>();
    return {std::get<0>(std::move(items)), std::get<1>(std::move(items))};
  }
};

}  // namespace ipf
