#include "client/pickle_writer.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>

namespace ipf::client {

namespace {

constexpr std::size_t depth_max = 500;
/// Limits of ipyparallel's serializer, which the receiver counts on.
constexpr std::size_t buffer_threshold = 1024;
constexpr std::size_t item_threshold = 64;
constexpr std::string_view canning = "ipyparallel.serialize.canning";

template <class T>
void append_little_endian(std::string& out, T value, std::size_t bytes = sizeof(T)) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8U * i) & 0xffU);
  }
}

/// Writes one pickle. Nothing is memoized: values are trees.
class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  void begin() { out_ += "\x80\x04"; }
  void end() { out_ += '.'; }

  void text(std::string_view text) { sized(text, '\x8c', 'X', '\x8d'); }
  void bytes(std::string_view bytes) { sized(bytes, 'C', 'B', '\x8e'); }
  void global(std::string_view module, std::string_view name) {
    text(module);
    text(name);
    out_ += '\x93';
  }
  void op(char code) { out_ += code; }

  void integer(std::int64_t number) {
    if (number >= 0 && number < 256) {
      out_ += 'K';
      out_ += static_cast<char>(number);
    } else if (number >= INT32_MIN && number <= INT32_MAX) {
      out_ += 'J';
      append_little_endian(out_, static_cast<std::uint32_t>(number));
    } else {
      out_ += "\x8a\x08";
      append_little_endian(out_, static_cast<std::uint64_t>(number));
    }
  }
  void big_unsigned(std::uint64_t number) {
    out_ += "\x8a\x09";
    append_little_endian(out_, number);
    out_ += '\0';
  }
  void real(double number) {
    out_ += 'G';
    const auto bits = std::bit_cast<std::uint64_t>(number);
    for (unsigned i = 8; i-- > 0;) {
      out_ += static_cast<char>(bits >> (8U * i) & 0xffU);
    }
  }
  void shape(const std::vector<std::size_t>& shape) {
    out_ += '(';
    for (const std::size_t extent : shape) {
      integer(static_cast<std::int64_t>(extent));
    }
    out_ += 't';
  }

  /// An instance of a canned class; the state follows by items, then end_canned().
  void begin_canned(std::string_view name) {
    global(canning, name);
    out_ += ")\x81}(";
  }
  void end_canned() { out_ += "ub"; }
  void expression(std::string_view python) {
    begin_canned("Reference");
    text("name");
    text(python);
    text("buffers");
    out_ += ']';
    end_canned();
  }
  /// The one buffer of a canned object: None marks the place of one that travels alone.
  void canned_buffer(std::string_view inlined, bool moved) {
    text("buffers");
    out_ += ']';
    if (moved) {
      out_ += 'N';
    } else {
      bytes(inlined);
    }
    out_ += 'a';
  }

  void value(const Value& value, std::size_t depth);

 private:
  void sized(std::string_view bytes, char code_8, char code_32, char code_64) {
    if (bytes.size() < 256) {
      out_ += code_8;
      out_ += static_cast<char>(bytes.size());
    } else if (bytes.size() <= UINT32_MAX) {
      out_ += code_32;
      append_little_endian(out_, static_cast<std::uint32_t>(bytes.size()));
    } else {
      out_ += code_64;
      append_little_endian(out_, static_cast<std::uint64_t>(bytes.size()));
    }
    out_ += bytes;
  }
  void array(const Array& array) {
    global("numpy", "ndarray");
    shape(array.shape());
    text(array.dtype());
    bytes(array.data().bytes);
    out_ += "\x87R";
  }
  void items(const Value::List& items, std::size_t depth) {
    for (const auto& item : items) {
      value(item, depth + 1);
    }
  }

  std::string& out_;
};

void Writer::value(const Value& object, std::size_t depth) {
  if (depth > depth_max) {
    throw ConversionError("a value is nested deeper than " + std::to_string(depth_max) + " levels");
  }
  switch (object.kind()) {
    case Value::Kind::none:
      out_ += 'N';
      break;
    case Value::Kind::boolean:
      out_ += object.boolean() ? '\x88' : '\x89';
      break;
    case Value::Kind::integer:
      if (object.real() >= 9223372036854775808.0) {
        big_unsigned(object.unsigned_integer());
      } else {
        integer(object.integer());
      }
      break;
    case Value::Kind::real:
      real(object.real());
      break;
    case Value::Kind::complex:
      global("builtins", "complex");
      real(object.complex().real());
      real(object.complex().imag());
      out_ += "\x86R";
      break;
    case Value::Kind::text:
      text(object.text());
      break;
    case Value::Kind::bytes:
      bytes(object.buffer().bytes);
      break;
    case Value::Kind::list:
      out_ += "](";
      items(object.items(), depth);
      out_ += 'e';
      break;
    case Value::Kind::tuple:
      out_ += '(';
      items(object.items(), depth);
      out_ += 't';
      break;
    case Value::Kind::set:
      out_ += "\x8f(";
      items(object.items(), depth);
      out_ += '\x90';
      break;
    case Value::Kind::dict:
      out_ += "}(";
      for (const auto& [key, mapped] : object.entries()) {
        value(key, depth + 1);
        value(mapped, depth + 1);
      }
      out_ += 'u';
      break;
    case Value::Kind::array:
      array(object.array());
      break;
    case Value::Kind::expression:
      expression(object.python());
      break;
    case Value::Kind::object:
      throw ConversionError("unsupported type: a Python " + object.python() + " cannot be sent");
  }
}

Buffer owned(std::string bytes) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return {owner, *owner};
}

/// Receivers share these bytes with Python objects that may outlive this message: kept as they are
/// when they have an owner, copied otherwise.
Buffer kept(const Buffer& buffer) {
  return buffer.owner ? buffer : owned(std::string(buffer.bytes));
}

/// A value at a place where the receiver un-cans: large parts go to `moved`.
void append_canned(Writer& writer,
                   const Value& value,
                   std::vector<Buffer>& moved,
                   std::size_t depth) {
  if (value.kind() == Value::Kind::array && value.array().size() > 0 &&
      !value.array().shape().empty()) {
    const Array& array = value.array();
    const bool alone = array.data().bytes.size() > buffer_threshold;
    writer.begin_canned("CannedArray");
    writer.text("shape");
    writer.shape(array.shape());
    writer.text("dtype");
    writer.text(array.dtype());
    writer.text("pickled");
    writer.op('\x89');
    writer.canned_buffer(array.data().bytes, alone);
    writer.end_canned();
    if (alone) {
      moved.push_back(kept(array.data()));
    }
  } else if (value.kind() == Value::Kind::bytes && value.buffer().bytes.size() > buffer_threshold) {
    writer.begin_canned("CannedBytes");
    writer.canned_buffer({}, true);
    writer.end_canned();
    moved.push_back(kept(value.buffer()));
  } else {
    writer.value(value, depth);
  }
}

void append_sequence(Writer& writer, const Value& value, std::vector<Buffer>& moved) {
  const bool tuple = value.kind() == Value::Kind::tuple;
  if (!tuple) {
    writer.op(']');
  }
  writer.op('(');
  for (const auto& item : value.items()) {
    append_canned(writer, item, moved, 1);
  }
  writer.op(tuple ? 't' : 'e');
}

/// The receiver takes the buffers in the order of the sorted keys, which therefore have to be text.
bool has_text_keys(const Value::Dict& entries) {
  return std::ranges::all_of(
      entries, [](const auto& entry) { return entry.first.kind() == Value::Kind::text; });
}

void append_dict(Writer& writer, const Value& value, std::vector<Buffer>& moved) {
  std::vector<std::pair<std::string_view, std::vector<Buffer>>> by_key;
  writer.op('}');
  writer.op('(');
  for (const auto& [key, mapped] : value.entries()) {
    writer.text(key.text());
    append_canned(writer, mapped, by_key.emplace_back(key.text(), std::vector<Buffer>()).second, 1);
  }
  writer.op('u');
  // Python compares code points, and so does a comparison of UTF-8.
  std::ranges::sort(by_key, {}, [](const auto& entry) { return entry.first; });
  for (auto& [key, buffers] : by_key) {
    std::ranges::move(buffers, std::back_inserter(moved));
  }
}

/// A dict whose keys a receiver might fail to sort: it leaves one inside a canned object alone.
void append_wrapped_dict(Writer& writer, const Value& value) {
  writer.begin_canned("CannedObject");
  writer.text("keys");
  writer.op(']');
  writer.text("obj");
  writer.value(value, 1);
  writer.text("hook");
  writer.op('N');
  writer.text("buffers");
  writer.op(']');
  writer.end_canned();
}

bool is_sequence(const Value& value) {
  return value.kind() == Value::Kind::list || value.kind() == Value::Kind::tuple;
}

}  // namespace

void append_pickle(std::string& out, const Value& value) {
  Writer writer(out);
  writer.begin();
  writer.value(value, 0);
  writer.end();
}

void append_object(std::vector<Buffer>& out, const Value& value) {
  std::string pickle;
  std::vector<Buffer> moved;
  Writer writer(pickle);
  writer.begin();
  if (is_sequence(value) && value.items().size() < item_threshold) {
    append_sequence(writer, value, moved);
  } else if (value.kind() == Value::Kind::dict && value.entries().size() < item_threshold) {
    if (has_text_keys(value.entries())) {
      append_dict(writer, value, moved);
    } else {
      append_wrapped_dict(writer, value);
    }
  } else {
    append_canned(writer, value, moved, 0);
  }
  writer.end();
  out.push_back(owned(std::move(pickle)));
  std::ranges::move(moved, std::back_inserter(out));
}

std::vector<Buffer> pickle_call(const PickledCall& call) {
  std::vector<Buffer> out;
  std::string function;
  Writer writer(function);
  writer.begin();
  if (call.imported) {
    writer.global("pkgutil", "resolve_name");
    writer.text(call.function->text());
    writer.op('\x85');
    writer.op('R');
  } else {
    writer.expression(call.function->python());
  }
  writer.end();
  out.push_back(owned(std::move(function)));

  std::vector<Buffer> arguments;
  for (const auto& argument : call.arguments) {
    append_object(arguments, argument);
  }
  const std::size_t argument_buffers = arguments.size();
  std::vector<std::pair<std::string, Value>> keywords(call.keywords.begin(), call.keywords.end());
  std::ranges::sort(keywords, {}, &std::pair<std::string, Value>::first);
  Value::List names;
  for (const auto& [name, value] : keywords) {
    names.emplace_back(name);
    append_object(arguments, value);
  }
  std::string info;
  append_pickle(info, Value::dict({{"nargs", Value(std::uint64_t{call.arguments.size()})},
                                   {"narg_bufs", Value(std::uint64_t{argument_buffers})},
                                   {"kw_keys", Value::list(std::move(names))}}));
  out.push_back(owned(std::move(info)));
  std::ranges::move(arguments, std::back_inserter(out));
  return out;
}

}  // namespace ipf::client
