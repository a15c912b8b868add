#include "client/pickle_reader.hpp"

#include <algorithm>
#include <complex>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "client/pickle_machine.hpp"

namespace ipf::client {

namespace {

using Kind = PickleNode::Kind;

constexpr std::size_t depth_max = 500;
constexpr std::string_view canning = "ipyparallel.serialize.canning.";

/// Ends a conversion; read_object() makes an Error of it. Conversions are recursive, and a Result
/// at each step would hide what they do.
struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Of a dict with text keys.
const PickleNode* member(const PickleNode* state, std::string_view name) {
  if (state == nullptr || state->kind != Kind::dict) {
    return nullptr;
  }
  for (std::size_t i = 0; i + 1 < state->items.size(); i += 2) {
    const PickleNode& key = *state->items[i];
    if (key.kind == Kind::atom && key.value.kind() == Value::Kind::text &&
        key.value.text() == name) {
      return state->items[i + 1];
    }
  }
  return nullptr;
}

/// numpy's arrays, without the parts of its name that change from version to version.
std::string_view plain_name(std::string_view name) {
  for (const std::string_view prefix : {"numpy.core.", "numpy._core."}) {
    if (name.starts_with(prefix)) {
      return name.substr(prefix.size());
    }
  }
  return name;
}

Buffer aligned(Buffer data, std::size_t element_bytes) {
  const std::size_t alignment = std::min<std::size_t>(element_bytes, 8);
  if (alignment == 0 ||
      (data.owner && reinterpret_cast<std::uintptr_t>(data.bytes.data()) % alignment == 0)) {
    return data;
  }
  // NOLINTNEXTLINE(modernize-avoid-c-arrays)
  const auto owner = std::make_shared<std::uint64_t[]>((data.bytes.size() + 7) / 8);
  char* const begin = reinterpret_cast<char*>(owner.get());
  std::ranges::copy(data.bytes, begin);
  return {owner, {begin, data.bytes.size()}};
}

Value array_value(const std::string& dtype, std::vector<std::size_t> shape, const Buffer& data) {
  try {
    // The element size stands at the end of the name; the constructor checks it.
    const std::size_t element =
        data.bytes.size() /
        std::max<std::size_t>(
            1, std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>()));
    return {Array(dtype, std::move(shape), aligned(data, element))};
  } catch (const ConversionError&) {
    return Value::object("numpy.ndarray of " + dtype);
  }
}

/// The element of an array with one element, as a plain number.
Value scalar_of(const Array& array) {
  const auto read = [&]<class T>(std::type_identity<T>) -> std::optional<Value> {
    return array.holds<T>() ? std::optional(Value(array.elements<T>()[0])) : std::nullopt;
  };
  std::optional<Value> out;
  const auto try_all = [&]<class... T>(std::type_identity<std::tuple<T...>>) {
    static_cast<void>(((out = read(std::type_identity<T>())) || ...));
  };
  try_all(std::type_identity<std::tuple<double, std::int64_t, bool, float, std::int32_t,
                                        std::int16_t, std::int8_t, std::uint64_t, std::uint32_t,
                                        std::uint16_t, std::uint8_t, std::complex<double>>>());
  return out ? std::move(*out) : Value::object("numpy scalar of " + array.dtype());
}

/// Converts the nodes of one pickle, and takes the buffers that canned objects point to.
class Converter {
 public:
  Converter(std::span<const Buffer> moved, bool inner) : moved_(moved), inner_(inner) {}

  Value convert_top(PickleNode& node);

 private:
  Value convert(PickleNode& node, std::size_t depth);
  Value convert_new(PickleNode& node, std::size_t depth);
  Value convert_dict(const std::vector<PickleNode*>& items, std::size_t depth);
  Value::List convert_all(const std::vector<PickleNode*>& items, std::size_t depth);
  Value convert_call(const PickleNode& node, std::size_t depth);
  Value convert_canned(std::string_view name, const PickleNode& node, std::size_t depth);
  Value convert_numpy(std::string_view name, const PickleNode& node, std::size_t depth);
  std::optional<std::string> dtype_text(PickleNode& node, std::size_t depth);
  std::vector<std::size_t> shape_of(PickleNode* node, std::size_t depth);
  /// The one buffer of a canned object, from here or from the message.
  Buffer canned_buffer(const PickleNode& node, std::size_t depth);

  std::span<const Buffer> moved_;
  bool inner_;  ///< of the pickle of an array inside a pickle, which holds no further one
};

Result<Value> read_pickle(std::span<const Buffer> buffers, bool inner);

Value Converter::convert(PickleNode& node, std::size_t depth) {
  if (node.converted || node.kind == Kind::atom) {
    return node.value;
  }
  if (node.converting || depth > depth_max) {
    throw Broken(node.converting ? "the value contains itself" : "it is nested too deep");
  }
  node.converting = true;
  node.value = convert_new(node, depth);
  node.converting = false;
  node.converted = true;
  return node.value;
}

Value Converter::convert_new(PickleNode& node, std::size_t depth) {
  switch (node.kind) {
    case Kind::list:
      return Value::list(convert_all(node.items, depth));
    case Kind::tuple:
      return Value::tuple(convert_all(node.items, depth));
    case Kind::set:
      return Value::set(convert_all(node.items, depth));
    case Kind::dict:
      return convert_dict(node.items, depth);
    case Kind::call:
      return convert_call(node, depth);
    case Kind::global:
    case Kind::atom:
      break;
  }
  return Value::object(node.name);
}

Value::List Converter::convert_all(const std::vector<PickleNode*>& items, std::size_t depth) {
  Value::List out;
  out.reserve(items.size());
  for (PickleNode* item : items) {
    out.push_back(convert(*item, depth + 1));
  }
  return out;
}

Value Converter::convert_dict(const std::vector<PickleNode*>& items, std::size_t depth) {
  Value::Dict out;
  out.reserve(items.size() / 2);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    Value key = convert(*items[i], depth + 1);
    out.emplace_back(std::move(key), convert(*items[i + 1], depth + 1));
  }
  return Value::dict(std::move(out));
}

/// Buffers that canned values of a small dict point to come in the order of its sorted keys.
Value Converter::convert_top(PickleNode& node) {
  if (node.kind == Kind::dict) {
    std::vector<std::pair<std::string, PickleNode*>> by_key;
    for (std::size_t i = 0; i + 1 < node.items.size(); i += 2) {
      const PickleNode& key = *node.items[i];
      if (key.kind == Kind::atom && key.value.kind() == Value::Kind::text) {
        by_key.emplace_back(key.value.text(), node.items[i + 1]);
      }
    }
    std::ranges::sort(by_key, {}, &std::pair<std::string, PickleNode*>::first);
    for (const auto& [key, value] : by_key) {
      convert(*value, 1);
    }
  }
  return convert(node, 0);
}

Value Converter::convert_call(const PickleNode& node, std::size_t depth) {
  std::string_view name = node.name;
  if (name == "copyreg._reconstructor" && !node.items.empty()) {
    name = node.items.front()->name;
  }
  if (name.starts_with(canning)) {
    return convert_canned(name.substr(canning.size()), node, depth);
  }
  if (name == "builtins.complex" && node.items.size() == 2) {
    const Value real = convert(*node.items[0], depth + 1);
    const Value imaginary = convert(*node.items[1], depth + 1);
    return {std::complex<double>(real.real(), imaginary.real())};
  }
  if (name == "builtins.bytearray" && node.items.size() == 1) {
    return convert(*node.items[0], depth + 1);
  }
  if (name == "builtins.set" || name == "builtins.frozenset") {
    return Value::set(node.items.empty() ? Value::List()
                                         : convert(*node.items[0], depth + 1).items());
  }
  if (name == "collections.OrderedDict" || name == "collections.defaultdict") {
    return convert_dict(node.added, depth);
  }
  if (name.starts_with("numpy.")) {
    return convert_numpy(plain_name(name), node, depth);
  }
  return Value::object(std::string(name.empty() ? "object" : name));
}

Buffer Converter::canned_buffer(const PickleNode& node, std::size_t depth) {
  const PickleNode* const buffers = member(node.state, "buffers");
  if (buffers == nullptr || buffers->kind != Kind::list || buffers->items.size() != 1) {
    throw Broken("a canned object without its buffer");
  }
  const Value here = convert(*buffers->items[0], depth + 1);
  if (!here.is_none()) {
    return here.buffer();
  }
  if (moved_.empty()) {
    throw Broken("it has too few buffers");
  }
  Buffer out = moved_.front();
  moved_ = moved_.subspan(1);
  return out;
}

Value Converter::convert_canned(std::string_view name, const PickleNode& node, std::size_t depth) {
  const auto attribute = [&](std::string_view key) -> PickleNode& {
    const PickleNode* const found = member(node.state, key);
    if (found == nullptr) {
      throw Broken("a canned object without " + std::string(key));
    }
    return const_cast<PickleNode&>(*found);
  };
  if (name == "CannedBytes" || name == "CannedMemoryView" || name == "CannedBuffer") {
    return Value::bytes(canned_buffer(node, depth));
  }
  if (name == "CannedArray") {
    const Value pickled = convert(attribute("pickled"), depth + 1);
    const Buffer data = canned_buffer(node, depth);
    if (pickled.boolean()) {
      if (inner_) {
        throw Broken("a pickle in a pickle in a pickle");
      }
      auto inner = read_pickle({&data, 1}, true);
      if (!inner) {
        throw Broken(inner.error().message);
      }
      return std::move(*inner);
    }
    const Value dtype = convert(attribute("dtype"), depth + 1);
    if (dtype.kind() != Value::Kind::text) {
      return Value::object("numpy.ndarray with named fields");
    }
    return array_value(dtype.text(), shape_of(&attribute("shape"), depth), data);
  }
  if (name == "CannedObject") {
    return convert(attribute("obj"), depth + 1);
  }
  return Value::object(name == "CannedFunction" ? "function" : std::string(name));
}

std::vector<std::size_t> Converter::shape_of(PickleNode* node, std::size_t depth) {
  std::vector<std::size_t> out;
  for (const auto& extent : convert(*node, depth + 1).items()) {
    out.push_back(extent.unsigned_integer());
  }
  return out;
}

/// Of `numpy.dtype("f8", False, True)` with the state `(3, "<", ...)`.
std::optional<std::string> Converter::dtype_text(PickleNode& node, std::size_t depth) {
  if (node.kind != Kind::call || node.name != "numpy.dtype" || node.items.empty()) {
    return std::nullopt;
  }
  const Value name = convert(*node.items[0], depth + 1);
  std::string order = "|";
  if (node.state != nullptr && node.state->kind == Kind::tuple && node.state->items.size() > 1) {
    order = convert(*node.state->items[1], depth + 1).text();
  }
  return order + name.text();
}

Value Converter::convert_numpy(std::string_view name, const PickleNode& node, std::size_t depth) {
  const auto value = [&](std::size_t i) { return convert(*node.items.at(i), depth + 1); };
  if (name == "numpy.ndarray" && node.items.size() == 3) {  // as our own writer has it
    return array_value(value(1).text(), shape_of(node.items[0], depth), value(2).buffer());
  }
  if (name == "multiarray.scalar" && node.items.size() == 2) {
    const auto dtype = dtype_text(*node.items[0], depth);
    const Value bytes = value(1);
    if (dtype && bytes.kind() == Value::Kind::bytes) {
      const Value array = array_value(*dtype, {1}, bytes.buffer());
      if (array.kind() == Value::Kind::array) {
        return scalar_of(array.array());
      }
    }
    return Value::object("numpy scalar of " + dtype.value_or("an unknown type"));
  }
  if (name == "multiarray._reconstruct" && node.state != nullptr &&
      node.state->kind == Kind::tuple && node.state->items.size() == 5) {
    const auto& state = node.state->items;
    const auto dtype = dtype_text(*state[2], depth);
    const bool fortran = convert(*state[3], depth + 1).boolean();
    const Value data = convert(*state[4], depth + 1);
    auto shape = shape_of(state[1], depth);
    if (dtype && data.kind() == Value::Kind::bytes && (!fortran || shape.size() < 2)) {
      return array_value(*dtype, std::move(shape), data.buffer());
    }
    return Value::object(fortran ? "numpy.ndarray in Fortran order"
                                 : "numpy.ndarray of " + dtype.value_or("an unknown type"));
  }
  if (name == "numeric._frombuffer" && node.items.size() == 4) {
    const auto dtype = dtype_text(*node.items[1], depth);
    const Value data = value(0);
    if (dtype && value(3).text() == "C" && data.kind() == Value::Kind::bytes) {
      return array_value(*dtype, shape_of(node.items[2], depth), data.buffer());
    }
  }
  return Value::object(std::string(node.name));
}

Result<Value> read_pickle(std::span<const Buffer> buffers, bool inner) {
  const auto broken = [](std::string_view what) {
    return unexpected(ErrorCode::malformed, "a result cannot be read: " + std::string(what));
  };
  if (buffers.empty()) {
    return broken("the reply has no buffers");
  }
  PickleMachine machine(buffers.front());
  auto top = machine.run();
  if (!top) {
    return unexpected(top.error());
  }
  try {
    return Converter(buffers.subspan(1), inner).convert_top(**top);
  } catch (const Broken& failure) {
    return broken(failure.what());
  } catch (const ConversionError& failure) {
    return broken(failure.what());
  }
}

}  // namespace

Result<Value> read_object(std::span<const Buffer> buffers) {
  return read_pickle(buffers, false);
}

}  // namespace ipf::client
