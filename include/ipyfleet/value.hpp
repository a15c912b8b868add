#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ipyfleet/array.hpp"
#include "ipyfleet/errors.hpp"
#include "ipyfleet/types.hpp"

namespace ipf {

class Value;

/// How a C++ type travels: specialise it with
/// `static Value to_value(const T&)` and `static T from_value(const Value&)` for types of your own.
/// convert.hpp does it for numbers, strings, vectors, maps, tuples, optionals and arrays.
template <class T>
struct Convert;

template <class T>
concept ToValue = requires(const T& object) {
  { Convert<T>::to_value(object) } -> std::same_as<Value>;
};

/// A Python value. Immutable, cheap to copy (large parts are shared), usable from any thread.
///
/// The functions that look inside throw ConversionError when the value is of another kind; as<T>()
/// converts.
class Value {
 public:
  enum class Kind : unsigned char {
    none,
    boolean,
    integer,  ///< from -2^63 to 2^64-1
    real,
    complex,
    text,  ///< str
    bytes,
    list,
    tuple,
    set,
    dict,
    array,       ///< numpy.ndarray of numbers
    expression,  ///< Python text, evaluated in the namespace of the engine that gets it
    object,      ///< of a Python type that has no form here; only its name has come
  };
  using List = std::vector<Value>;
  /// In the order of the Python dict.
  using Dict = std::vector<std::pair<Value, Value>>;

  Value() = default;                                          // None
  Value(bool value) : state_(value) {}                        // NOLINT(google-explicit-constructor)
  Value(double value) : state_(value) {}                      // NOLINT
  Value(std::int64_t value) : state_(value) {}                // NOLINT
  Value(std::uint64_t value);                                 // NOLINT
  Value(std::complex<double> value) : state_(value) {}        // NOLINT
  Value(std::string text) : state_(std::move(text)) {}        // NOLINT
  Value(std::string_view text) : Value(std::string(text)) {}  // NOLINT
  Value(const char* text) : Value(std::string(text)) {}       // NOLINT
  Value(Array array) : state_(std::move(array)) {}            // NOLINT
  /// Of anything that convert.hpp, or a Convert of yours, knows.
  template <ToValue T>
  Value(const T& object) : Value(Convert<T>::to_value(object)) {}  // NOLINT

  static Value list(List items) { return {Kind::list, std::move(items)}; }
  static Value tuple(List items) { return {Kind::tuple, std::move(items)}; }
  static Value set(List items) { return {Kind::set, std::move(items)}; }
  static Value dict(Dict entries);
  static Value bytes(Buffer bytes) { return Value(State(std::move(bytes))); }
  static Value bytes(std::string bytes);
  static Value expression(std::string python) {
    return Value(State(Text{std::move(python), true}));
  }
  static Value object(std::string type) { return Value(State(Text{std::move(type), false})); }

  [[nodiscard]] Kind kind() const;
  [[nodiscard]] bool is_none() const { return kind() == Kind::none; }
  [[nodiscard]] bool boolean() const;
  [[nodiscard]] std::int64_t integer() const;
  [[nodiscard]] std::uint64_t unsigned_integer() const;
  /// Of integers too, as Python does it.
  [[nodiscard]] double real() const;
  [[nodiscard]] std::complex<double> complex() const;
  [[nodiscard]] const std::string& text() const;
  [[nodiscard]] const Buffer& buffer() const;  ///< of bytes
  [[nodiscard]] const List& items() const;     ///< of list, tuple and set
  [[nodiscard]] const Dict& entries() const;   ///< of dict
  [[nodiscard]] const Array& array() const;
  /// Of an expression its text, of an object the name of its Python type.
  [[nodiscard]] const std::string& python() const;

  /// The value as a T; throws ConversionError when it is none, or a number out of range.
  template <class T>
  [[nodiscard]] T as() const {
    if constexpr (std::is_same_v<T, Value>) {
      return *this;
    } else {
      return Convert<T>::from_value(*this);
    }
  }

  /// As Python's repr() about shows it, shortened; for messages.
  [[nodiscard]] std::string repr(std::size_t length_max = 80) const;
  /// What Python calls the type.
  [[nodiscard]] std::string type_name() const;

  /// 1 and 1.0 are different here, and so are [1] and (1,).
  bool operator==(const Value& other) const;

 private:
  struct Sequence {
    Kind kind{};
    std::shared_ptr<const List> items{};
  };
  struct Text {
    std::string text{};
    bool expression{};
  };
  using State = std::variant<std::monostate,
                             bool,
                             std::int64_t,
                             std::uint64_t,
                             double,
                             std::complex<double>,
                             std::string,
                             Buffer,
                             Sequence,
                             std::shared_ptr<const Dict>,
                             Array,
                             Text>;
  explicit Value(State state) : state_(std::move(state)) {}
  Value(Kind kind, List items)
      : state_(Sequence{kind, std::make_shared<const List>(std::move(items))}) {}
  [[noreturn]] void wrong_kind(std::string_view wanted) const;
  void append_repr(std::string& out, std::size_t length_max) const;

  State state_;
};

}  // namespace ipf

#include "ipyfleet/convert.hpp"  // IWYU pragma: export
