#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "core/check.hpp"

namespace ipf {

/// Stable codes of expected failures; the message carries the offending value and the remedy.
enum class ErrorCode {
  invalid_argument,
  not_found,
  permission,
  io,
  malformed,
  bad_signature,
  replayed,
  too_large,
  timed_out,
  unavailable,
  closed,
};

struct Error {
  ErrorCode code{ErrorCode::invalid_argument};
  std::string message{};
  bool operator==(const Error&) const = default;
};

/// Wraps an Error so that `return unexpected(code, text);` converts to any Result<T>.
struct Unexpected {
  Error error{};
};

inline Unexpected unexpected(ErrorCode code, std::string message) {
  return {Error{code, std::move(message)}};
}
inline Unexpected unexpected(Error error) {
  return {std::move(error)};
}

/// A value or an Error; the interface of std::expected (C++23) as far as it is needed.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT
  Result(Unexpected failure)
      : state_(std::in_place_index<1>, std::move(failure.error)) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  T& value() & {
    IPF_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    IPF_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    IPF_CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  [[nodiscard]] const Error& error() const {
    IPF_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }
  template <class U>
  T value_or(U&& other) const& {
    return has_value() ? value() : static_cast<T>(std::forward<U>(other));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Unexpected failure) : error_(std::move(failure.error)), ok_(false) {}  // NOLINT

  [[nodiscard]] bool has_value() const { return ok_; }
  explicit operator bool() const { return ok_; }
  [[nodiscard]] const Error& error() const {
    IPF_CHECK(!ok_);
    return error_;
  }

 private:
  Error error_{};
  bool ok_{true};
};

}  // namespace ipf

/// Hands a failure to the caller: IPF_TRY(check_name(name));
#define IPF_TRY(expression)                         \
  do {                                              \
    if (const auto& tried = (expression); !tried) { \
      return ::ipf::unexpected(tried.error());      \
    }                                               \
  } while (false)
