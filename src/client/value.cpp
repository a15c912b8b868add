// The public types of include/ipyfleet/value.hpp, array.hpp, convert.hpp and errors.hpp.
#include "ipyfleet/value.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace ipf {

namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};

/// The product, or nothing when it does not fit: shapes come from the network.
std::optional<std::size_t> product(std::span<const std::size_t> factors) {
  std::size_t out = 1;
  for (const std::size_t factor : factors) {
    if (__builtin_mul_overflow(out, factor, &out)) {
      return std::nullopt;
    }
  }
  return out;
}

std::string_view name_of(Value::Kind kind) {
  constexpr std::array<std::string_view, 14> names{
      "NoneType", "bool",  "int", "float", "complex",       "str",        "bytes",
      "list",     "tuple", "set", "dict",  "numpy.ndarray", "expression", "object"};
  return names.at(static_cast<std::size_t>(kind));
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string out = "(";
  for (const std::size_t extent : shape) {
    out += std::to_string(extent) + ",";
  }
  return out + ")";
}

std::string number_text(double number) {
  std::array<char, 40> text{};
  const auto [end, failure] = std::to_chars(text.data(), text.data() + text.size(), number);
  return failure == std::errc() ? std::string(text.data(), end) : "?";
}

}  // namespace

// ---- errors -------------------------------------------------------------------------------------

RemoteError::RemoteError(Fields fields)
    : std::runtime_error(fields.ename + ": " + fields.evalue), fields_(std::move(fields)) {}

CompositeError::CompositeError(std::vector<RemoteError> errors, std::size_t calls)
    : std::runtime_error(std::to_string(errors.size()) + " of " + std::to_string(calls) +
                         " calls failed; the first: " + errors.front().what()),
      errors_(std::move(errors)) {}

// ---- Array --------------------------------------------------------------------------------------

Array::Array(std::string dtype, std::vector<std::size_t> shape, Buffer data)
    : dtype_(std::move(dtype)), shape_(std::move(shape)), data_(std::move(data)) {
  constexpr std::string_view kinds = "biufc";
  const bool known = dtype_.size() >= 3 && dtype_.size() <= 4 &&
                     std::string_view("<>|=").find(dtype_[0]) != std::string_view::npos &&
                     kinds.find(dtype_[1]) != std::string_view::npos && element_bytes() > 0;
  if (!known) {
    throw ConversionError("an array of the type '" + dtype_ + "' has no form in C++");
  }
  std::vector<std::size_t> factors = shape_;
  factors.push_back(element_bytes());
  const auto bytes = product(factors);
  if (!bytes || *bytes != data_.bytes.size()) {
    throw ConversionError("an array of the type '" + dtype_ + "' and the shape " +
                          shape_text(shape_) + " does not have " +
                          std::to_string(data_.bytes.size()) + " bytes");
  }
}

std::size_t Array::size() const {
  return product(shape_).value_or(0);
}

std::size_t Array::element_bytes() const {
  std::size_t out = 0;
  std::from_chars(dtype_.data() + 2, dtype_.data() + dtype_.size(), out);
  return out;
}

void Array::check_dtype(const std::string& wanted) const {
  if (dtype_ != wanted) {
    throw ConversionError("the elements of the array are '" + dtype_ + "', not '" + wanted + "'");
  }
}

Array Array::rows(std::size_t first, std::size_t count) const {
  if (shape_.empty() || first > shape_.front() || count > shape_.front() - first) {
    throw ConversionError("an array of the shape " + shape_text(shape_) + " has no rows from " +
                          std::to_string(first) + " to " + std::to_string(first + count));
  }
  std::vector<std::size_t> shape = shape_;
  shape.front() = count;
  const std::size_t row = shape_.front() == 0 ? 0 : data_.bytes.size() / shape_.front();
  return {dtype_, std::move(shape),
          Buffer{data_.owner, data_.bytes.substr(first * row, count * row)}};
}

Array Array::concatenate(std::span<const Array> parts) {
  if (parts.empty()) {
    throw ConversionError("no arrays to concatenate");
  }
  const Array& first = parts.front();
  std::size_t rows = 0;
  std::size_t bytes = 0;
  for (const Array& part : parts) {
    if (part.shape_.empty() || part.dtype_ != first.dtype_ ||
        !std::equal(part.shape_.begin() + 1, part.shape_.end(), first.shape_.begin() + 1,
                    first.shape_.end())) {
      throw ConversionError("arrays of '" + first.dtype_ + "' " + shape_text(first.shape_) +
                            " and '" + part.dtype_ + "' " + shape_text(part.shape_) +
                            " do not go behind one another");
    }
    rows += part.shape_.front();
    bytes += part.data_.bytes.size();
  }
  if (parts.size() == 1) {
    return first;
  }
  // NOLINTNEXTLINE(modernize-avoid-c-arrays)
  const auto owner = std::make_shared<std::byte[]>(bytes);
  char* const begin = reinterpret_cast<char*>(owner.get());
  char* end = begin;
  for (const Array& part : parts) {
    end = std::copy(part.data_.bytes.begin(), part.data_.bytes.end(), end);
  }
  std::vector<std::size_t> shape = first.shape_;
  shape.front() = rows;
  return {first.dtype_, std::move(shape), Buffer{owner, {begin, bytes}}};
}

// ---- Value --------------------------------------------------------------------------------------

Value::Value(std::uint64_t value) {
  if (std::in_range<std::int64_t>(value)) {
    state_ = static_cast<std::int64_t>(value);
  } else {
    state_ = value;
  }
}

Value Value::dict(Dict entries) {
  return Value(State(std::make_shared<const Dict>(std::move(entries))));
}

Value Value::bytes(std::string bytes) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return Value(State(Buffer{owner, *owner}));
}

Value::Kind Value::kind() const {
  return std::visit(
      Overloaded{
          [](std::monostate) { return Kind::none; }, [](bool) { return Kind::boolean; },
          [](std::int64_t) { return Kind::integer; }, [](std::uint64_t) { return Kind::integer; },
          [](double) { return Kind::real; },
          [](const std::complex<double>&) { return Kind::complex; },
          [](const std::string&) { return Kind::text; }, [](const Buffer&) { return Kind::bytes; },
          [](const Sequence& sequence) { return sequence.kind; },
          [](const std::shared_ptr<const Dict>&) { return Kind::dict; },
          [](const Array&) { return Kind::array; },
          [](const Text& text) { return text.expression ? Kind::expression : Kind::object; }},
      state_);
}

void Value::wrong_kind(std::string_view wanted) const {
  if (kind() == Kind::object) {
    throw ConversionError("unsupported type: a Python " + python() +
                          " has no form in C++; return plain values, or its repr()");
  }
  throw ConversionError("wanted " + std::string(wanted) + ", but the value is a " + type_name() +
                        ": " + repr());
}

bool Value::boolean() const {
  if (const auto* value = std::get_if<bool>(&state_)) {
    return *value;
  }
  wrong_kind("a bool");
}

std::int64_t Value::integer() const {
  if (const auto* value = std::get_if<std::int64_t>(&state_)) {
    return *value;
  }
  if (std::holds_alternative<std::uint64_t>(state_)) {
    detail::out_of_range(*this, 8, true);
  }
  wrong_kind("an integer");
}

std::uint64_t Value::unsigned_integer() const {
  if (const auto* value = std::get_if<std::uint64_t>(&state_)) {
    return *value;
  }
  const std::int64_t value = integer();
  if (value < 0) {
    detail::out_of_range(*this, 8, false);
  }
  return static_cast<std::uint64_t>(value);
}

double Value::real() const {
  if (const auto* value = std::get_if<double>(&state_)) {
    return *value;
  }
  if (const auto* value = std::get_if<std::uint64_t>(&state_)) {
    return static_cast<double>(*value);
  }
  if (const auto* value = std::get_if<std::int64_t>(&state_)) {
    return static_cast<double>(*value);
  }
  wrong_kind("a number");
}

std::complex<double> Value::complex() const {
  if (const auto* value = std::get_if<std::complex<double>>(&state_)) {
    return *value;
  }
  return {real(), 0.0};
}

const std::string& Value::text() const {
  if (const auto* value = std::get_if<std::string>(&state_)) {
    return *value;
  }
  wrong_kind("a string");
}

const Buffer& Value::buffer() const {
  if (const auto* value = std::get_if<Buffer>(&state_)) {
    return *value;
  }
  wrong_kind("bytes");
}

const Value::List& Value::items() const {
  if (const auto* value = std::get_if<Sequence>(&state_)) {
    return *value->items;
  }
  wrong_kind("a list");
}

const Value::Dict& Value::entries() const {
  if (const auto* value = std::get_if<std::shared_ptr<const Dict>>(&state_)) {
    return **value;
  }
  wrong_kind("a dict");
}

const Array& Value::array() const {
  if (const auto* value = std::get_if<Array>(&state_)) {
    return *value;
  }
  wrong_kind("an array");
}

const std::string& Value::python() const {
  if (const auto* value = std::get_if<Text>(&state_)) {
    return value->text;
  }
  wrong_kind("an expression");
}

std::string Value::type_name() const {
  return kind() == Kind::object ? python() : std::string(name_of(kind()));
}

void Value::append_repr(std::string& out, std::size_t length_max) const {
  const auto sequence = [&](const List& items, char open, char close) {
    out += open;
    for (std::size_t i = 0; i < items.size() && out.size() < length_max; ++i) {
      out += i == 0 ? "" : ", ";
      items[i].append_repr(out, length_max);
    }
    out += close;
  };
  std::visit(
      Overloaded{[&](std::monostate) { out += "None"; },
                 [&](bool value) { out += value ? "True" : "False"; },
                 [&](std::int64_t value) { out += std::to_string(value); },
                 [&](std::uint64_t value) { out += std::to_string(value); },
                 [&](double value) { out += number_text(value); },
                 [&](const std::complex<double>& value) {
                   out += "(" + number_text(value.real()) + "+" + number_text(value.imag()) + "j)";
                 },
                 [&](const std::string& value) { out += "'" + value.substr(0, length_max) + "'"; },
                 [&](const Buffer& value) { out += std::to_string(value.bytes.size()) + " bytes"; },
                 [&](const Sequence& value) {
                   const bool tuple = value.kind == Kind::tuple;
                   const bool set = value.kind == Kind::set;
                   sequence(*value.items, tuple ? '(' : (set ? '{' : '['),
                            tuple ? ')' : (set ? '}' : ']'));
                 },
                 [&](const std::shared_ptr<const Dict>& value) {
                   out += '{';
                   for (std::size_t i = 0; i < value->size() && out.size() < length_max; ++i) {
                     out += i == 0 ? "" : ", ";
                     (*value)[i].first.append_repr(out, length_max);
                     out += ": ";
                     (*value)[i].second.append_repr(out, length_max);
                   }
                   out += '}';
                 },
                 [&](const Array& value) {
                   out += "array of " + value.dtype() + shape_text(value.shape());
                 },
                 [&](const Text& value) { out += "<" + value.text + ">"; }},
      state_);
}

std::string Value::repr(std::size_t length_max) const {
  std::string out;
  append_repr(out, length_max);
  if (out.size() > length_max) {
    out.resize(length_max);
    out += "...";
  }
  return out;
}

bool Value::operator==(const Value& other) const {
  if (kind() != other.kind() || state_.index() != other.state_.index()) {
    return false;
  }
  return std::visit(
      [&]<class T>(const T& own) {
        const T& theirs = std::get<T>(other.state_);
        if constexpr (std::is_same_v<T, Buffer>) {
          return own.bytes == theirs.bytes;
        } else if constexpr (std::is_same_v<T, Sequence>) {
          return *own.items == *theirs.items;
        } else if constexpr (std::is_same_v<T, std::shared_ptr<const Dict>>) {
          return *own == *theirs;
        } else if constexpr (std::is_same_v<T, Text>) {
          return own.text == theirs.text;
        } else {
          return own == theirs;
        }
      },
      state_);
}

// ---- conversions --------------------------------------------------------------------------------

namespace detail {

void out_of_range(const Value& value, std::size_t bytes, bool is_signed) {
  throw ConversionError("the integer " + value.repr() + " does not fit into " +
                        std::to_string(8 * bytes) + " bits " +
                        (is_signed ? "with sign" : "without sign"));
}

void wrong_length(const Value& value, std::size_t wanted) {
  throw ConversionError("wanted " + std::to_string(wanted) + " items, but got " + value.repr());
}

void wrong_type(const Value& value, std::string_view wanted) {
  throw ConversionError("wanted " + std::string(wanted) + ", but got " + value.repr());
}

}  // namespace detail

}  // namespace ipf
