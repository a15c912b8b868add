// Values to pickles and back: with the reference implementation, and against hostile bytes.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "client/pickle_reader.hpp"
#include "client/pickle_writer.hpp"
#include "ipyfleet/call.hpp"
#include "ipyfleet/value.hpp"

namespace ipf::client {
namespace {

using Buffers = std::vector<Buffer>;
using IntAndText = std::tuple<int, std::string>;
using TwoInts = std::pair<int, int>;

Buffer owned(std::string text) {
  const auto owner = std::make_shared<const std::string>(std::move(text));
  return {owner, *owner};
}

/// Runs pickle_peer.py; its files are gone with the object.
class Peer {
 public:
  Peer() : directory_(std::filesystem::temp_directory_path() / ("ipf-pickle-XXXXXX")) {
    std::string name = directory_.string();
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { std::filesystem::remove_all(directory_); }

  std::vector<std::string> results_of(const std::vector<Call>& calls) {
    std::ofstream out(path("objects"), std::ios::binary);
    for (const auto& call : calls) {
      const Buffers buffers = pickle_call({.function = &call.function.value(),
                                           .imported = call.function.is_imported(),
                                           .arguments = call.arguments,
                                           .keywords = call.keywords});
      write_number(out, buffers.size());
      for (const auto& buffer : buffers) {
        write_number(out, buffer.bytes.size());
        out << buffer.bytes;
      }
    }
    out.close();
    run("read", "/dev/null");
    std::ifstream in(path("printed"));
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(line);
    }
    return lines;
  }

  std::vector<Buffers> objects_of(const std::vector<std::string>& expressions) {
    std::ofstream in(path("expressions"));
    for (const auto& expression : expressions) {
      in << expression << '\n';
    }
    in.close();
    run("write", path("expressions"));
    std::ifstream file(path("objects"), std::ios::binary);
    const std::string all((std::istreambuf_iterator<char>(file)), {});
    std::string_view rest = all;
    std::vector<Buffers> out;
    while (!rest.empty()) {
      Buffers buffers;
      for (std::uint64_t count = read_number(rest); count > 0; --count) {
        const std::uint64_t size = read_number(rest);
        buffers.push_back(owned(std::string(rest.substr(0, size))));
        rest.remove_prefix(size);
      }
      out.push_back(std::move(buffers));
    }
    return out;
  }

 private:
  [[nodiscard]] std::string path(const char* name) const { return (directory_ / name).string(); }
  void run(const std::string& mode, const std::string& input) const {
    const std::string command = IPF_PYTHON " " IPF_TESTS_DIR "/unit/client/pickle_peer.py " + mode +
                                " " + path("objects") + " < " + input + " > " + path("printed");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;  // NOLINT(concurrency-mt-unsafe)
  }
  static void write_number(std::ofstream& out, std::uint64_t number) {
    out.write(reinterpret_cast<const char*>(&number), sizeof number);
  }
  static std::uint64_t read_number(std::string_view& from) {
    std::uint64_t number = 0;
    std::copy_n(from.data(), sizeof number, reinterpret_cast<char*>(&number));
    from.remove_prefix(sizeof number);
    return number;
  }

  std::filesystem::path directory_;
};

TEST(Pickle, TheReferenceReadsWhatIsWritten) {
  const Function same("lambda x: x");
  const std::vector<double> many(1000, 0.5);
  const std::vector<std::pair<Call, std::string>> cases{
      {Call::of(same, std::nullopt), "None"},
      {Call::of(same, true), "True"},
      {Call::of(same, 0), "0"},
      {Call::of(same, 255), "255"},
      {Call::of(same, -1), "-1"},
      {Call::of(same, INT32_MIN), "-2147483648"},
      {Call::of(same, INT64_MIN), "-9223372036854775808"},
      {Call::of(same, INT64_MAX), "9223372036854775807"},
      {Call::of(same, UINT64_MAX), "18446744073709551615"},
      {Call::of(same, 0.1), "0.1"},
      {Call::of(same, std::complex<double>(1, -2)), "(1-2j)"},
      {Call::of(same,
                "Gr\xc3\xbc\xc3\x9f"
                "e"),
       "'Gr\xc3\xbc\xc3\x9f"
       "e'"},
      {Call::of("len", std::string(70000, 'x')), "70000"},
      {Call::of(same, Value::bytes(std::string("\0\xff", 2))), "b'\\x00\\xff'"},
      {Call::of("len", Value::bytes(std::string(5000, 'b'))), "5000"},
      {Call::of(same, std::vector<int>{1, 2, 3}), "[1, 2, 3]"},
      {Call::of(same, std::vector<std::string>{}), "[]"},
      {Call::of(same, std::tuple(1, "a", 2.5)), "(1, 'a', 2.5)"},
      {Call::of(same, std::set<int>{7}), "{7}"},
      {Call::of(same, std::map<std::string, int>{{"a", 1}, {"b", 2}}), "{'a': 1, 'b': 2}"},
      {Call::of(same, std::map<int, bool>{{3, true}}), "{3: True}"},
      {Call::of(same, Value::dict({{"z", 1}, {2, Value()}})), "{'z': 1, 2: None}"},
      {Call::of("lambda x: (float(x.sum()), str(x.dtype), x.shape)", Array::take(many)),
       "(500.0, 'float64', (1000,))"},
      {Call::of("lambda x: (x.tolist(), str(x.dtype))", Array::take<std::int16_t>({1, 2}, {2, 1})),
       "([[1], [2]], 'int16')"},
      {Call::of("lambda x: (x.size, x.shape)", Array::take<float>({}, {0, 3})), "(0, (0, 3))"},
      {Call::of("lambda x: [len(x), float(x[1].sum())]", std::vector<Value>{1, Array::take(many)}),
       "[2, 500.0]"},
      {Call::of("lambda x: float(x['a'].sum() + x['b'][0])",
                Value::dict(
                    {{"b", Array::take(std::vector<double>(300, 2.0))}, {"a", Array::take(many)}})),
       "502.0"},
      {Call::of("lambda x: float(x[0][0].sum())", Value::list({Value::list({Array::take(many)})})),
       "500.0"},
      {Call::of("lambda a, *, b: (a, b)", 1, Keywords{{"b", 2}}), "(1, 2)"},
      {Call::of("lambda x: x", Value::expression("offset + 2")), "42"},
      {Call::of("math.hypot", 3, 4), "5.0"},
      {Call::of("datetime.date.fromisoformat", "2020-02-02"), "datetime.date(2020, 2, 2)"},
      {Call::of(Function::expression("np.size"), std::vector<int>{1, 2}), "2"},
      {Call::of("def fact(n):\n  return 1 if n < 2 else n * fact(n - 1)\n", 5), "120"},
      {Call::of("fact", 3), "6"},
      {Call::of("import operator\n@operator.itemgetter('k')\ndef f(): pass", 1),
       "TypeError: 'function' object is not subscriptable"},
      {Call::of("no_such_module.f"), "ModuleNotFoundError: No module named 'no_such_module'"},
      {Call::of("no_such_name"), "NameError: name 'no_such_name' is not defined"},
  };
  std::vector<Call> calls;
  for (const auto& [call, printed] : cases) {
    calls.push_back(call);
  }
  const auto results = Peer().results_of(calls);
  ASSERT_EQ(results.size(), cases.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(results[i], cases[i].second) << "case " << i;
  }
}

TEST(Pickle, WhatTheReferenceWritesIsRead) {
  const std::vector<double> ones(1000, 1.0);
  const std::vector<std::pair<std::string, Value>> cases{
      {"None", {}},
      {"[True, False]", Value::list({true, false})},
      {"[0, 300, 70000, -1, -2**31, 2**40, -2**63, 2**63, 2**64-1]",
       Value::list({0, 300, 70000, -1, INT32_MIN, std::int64_t{1} << 40, INT64_MIN,
                    std::uint64_t{1} << 63, UINT64_MAX})},
      {"1.5", 1.5},
      {"1-2j", std::complex<double>(1, -2)},
      {"'\\u00fc' * 300",
       [] {
         std::string text;
         for (int i = 0; i < 300; ++i) {
           text += "\xc3\xbc";
         }
         return Value(text);
       }()},
      {"b'\\0abc'", Value::bytes(std::string("\0abc", 4))},
      {"b'x' * 3000", Value::bytes(std::string(3000, 'x'))},
      {"bytearray(b'ab')", Value::bytes(std::string("ab"))},
      {"(1, (2,), [], {})", Value::tuple({1, Value::tuple({2}), Value::list({}), Value::dict({})})},
      {"{'b': 1, 'a': [2]}", Value::dict({{"a", Value::list({2})}, {"b", 1}})},
      {"{1}", Value::set({1})},
      {"frozenset([1])", Value::set({1})},
      {"collections.OrderedDict([(1, 2)])", Value::dict({{1, 2}})},
      {"np.ones(1000)", Array::take(ones)},
      {"np.arange(6, dtype='i4').reshape(2, 3)",
       Array::take<std::int32_t>({0, 1, 2, 3, 4, 5}, {2, 3})},
      {"np.ones((2, 2), order='F')[:, 0]", Array::take<double>({1, 1})},
      {"np.array([], dtype='f4')", Array::take<float>({})},
      {"np.array([1, 2], dtype='u1')", Array::take<std::uint8_t>({1, 2})},
      {"[np.float64(2.5), np.int32(-3), np.bool_(True), np.float32(0.5)]",
       Value::list({2.5, -3, true, 0.5})},
      {"[1, np.ones(1000), 'x']", Value::list({1, Array::take(ones), "x"})},
      {"{'b': np.ones(1000), 'a': np.zeros(1000)}",
       Value::dict({{"a", Array::take(std::vector<double>(1000))}, {"b", Array::take(ones)}})},
      {"[[np.ones(1000)]] * 2",
       Value::list({Value::list({Array::take(ones)}), Value::list({Array::take(ones)})})},
      {"list(range(100))",
       [] {
         std::vector<int> items(100);
         for (int i = 0; i < 100; ++i) {
           items[static_cast<std::size_t>(i)] = i;
         }
         return Value(items);
       }()},
      {"math.sqrt", Value::object("math.sqrt")},
      {"lambda x: x", Value::object("function")},
      {"__import__('decimal').Decimal(1)", Value::object("decimal.Decimal")},
      {"2**64", Value::object("int of more than 64 bits")},
      {"np.array(['a'])", Value::object("numpy.ndarray of <U1")},
      {"np.array([object()])", Value::object("numpy.ndarray of |O8")},
  };
  std::vector<std::string> expressions;
  for (const auto& [expression, value] : cases) {
    expressions.push_back(expression);
  }
  const auto objects = Peer().objects_of(expressions);
  ASSERT_EQ(objects.size(), cases.size());
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const auto value = read_object(objects[i]);
    ASSERT_TRUE(value) << cases[i].first << ": " << value.error().message;
    EXPECT_EQ(*value, cases[i].second) << cases[i].first << " became " << value->repr();
  }
}

TEST(Pickle, ALargeArrayIsNotCopied) {
  const auto elements = std::make_shared<const std::vector<double>>(4096, 1.5);
  Buffers sent;
  append_object(sent, Array::share(std::span<const double>(*elements), elements));
  ASSERT_EQ(sent.size(), 2U);
  EXPECT_EQ(static_cast<const void*>(sent[1].bytes.data()), elements->data());
  const auto received = read_object(sent);
  ASSERT_TRUE(received);
  EXPECT_EQ(received->array().elements<double>().data(), elements->data());
}

TEST(Pickle, ElementsAreAligned) {
  Buffers sent;
  append_object(sent, Array::take<double>({1.0, 2.0}));
  ASSERT_EQ(sent.size(), 1U);
  for (std::size_t shift = 0; shift < 8; ++shift) {
    const Buffer moved = owned(std::string(shift, ' ') + std::string(sent[0].bytes));
    const auto value = read_object(Buffers{{moved.owner, moved.bytes.substr(shift)}});
    ASSERT_TRUE(value);
    const auto elements = value->array().elements<double>();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(elements.data()) % alignof(double), 0U);
    EXPECT_EQ(elements[1], 2.0);
  }
}

TEST(Pickle, AnyPrefixIsAnError) {
  Buffers sent;
  append_object(sent, Value::dict({{"a", Value::list({1, 2.5, "x"})}, {"b", Value::tuple({})}}));
  for (std::size_t size = 0; size < sent[0].bytes.size(); ++size) {
    EXPECT_FALSE(read_object(Buffers{{sent[0].owner, sent[0].bytes.substr(0, size)}}));
  }
  EXPECT_TRUE(read_object(sent));
}

TEST(Pickle, HostilePicklesAreErrors) {
  const std::vector<std::string_view> pickles{
      "",
      ".",
      "\x80\x04N",  // no end
      "\x80\x04"
      "2a.",  // adds to nothing
      "\x80\x04]\x94h\x00"
      "a.",                                             // a list that contains itself
      "\x80\x04h\x07.",                                 // a memo that is not there
      "\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",  // a text of 2^64 bytes
      "\x80\x04(.",                                     // only a mark
      "\x80\x04K\x01u.",
      "\x80\x04K\x01K\x02\x93.",  // a name made of numbers
      "\x80\x04"
      "cos\nsystem\nK\x01R.",
      "\x80\x04I1\n.",  // protocol 0
  };
  for (const std::string_view pickle : pickles) {
    const std::string text(pickle);
    EXPECT_FALSE(read_object(Buffers{owned(text)})) << ::testing::PrintToString(text);
  }
  const auto called =
      read_object(Buffers{owned("\x80\x04"
                                "cos\nsystem\n\x8c\x04true\x85R.")});
  ASSERT_TRUE(called);
  EXPECT_EQ(*called, Value::object("os.system"));
  EXPECT_FALSE(
      read_object(Buffers{owned(std::string(100'000, ']') + std::string(99'999, 'a') + '.')}));
}

TEST(Value, ConversionsAreChecked) {
  EXPECT_EQ(Value(7).as<std::uint8_t>(), 7);
  EXPECT_THROW((void)Value(300).as<std::uint8_t>(), ConversionError);
  EXPECT_THROW((void)Value(-1).as<unsigned>(), ConversionError);
  EXPECT_THROW((void)Value(UINT64_MAX).as<std::int64_t>(), ConversionError);
  EXPECT_THROW((void)Value("7").as<int>(), ConversionError);
  EXPECT_THROW((void)Value(1.5).as<int>(), ConversionError);
  EXPECT_EQ(Value(2).as<double>(), 2.0);
  EXPECT_EQ(Value().as<std::optional<int>>(), std::nullopt);
  EXPECT_EQ(Value(std::vector<int>{1, 2}).as<std::vector<double>>(), (std::vector<double>{1, 2}));
  EXPECT_EQ(Value(Array::take<std::int32_t>({1, 2})).as<std::vector<std::int64_t>>(),
            (std::vector<std::int64_t>{1, 2}));
  EXPECT_THROW((void)Value(Array::take<double>({1.5})).as<std::vector<int>>(), ConversionError);
  const std::map<std::string, int> map{{"a", 1}};
  EXPECT_EQ((Value(map).as<std::map<std::string, double>>()).at("a"), 1.0);
  EXPECT_EQ(Value::list({1, "x"}).as<IntAndText>(), std::tuple(1, "x"));
  EXPECT_THROW((void)Value::list({1}).as<TwoInts>(), ConversionError);
  try {
    (void)Value::object("decimal.Decimal").as<double>();
    FAIL();
  } catch (const ConversionError& error) {
    EXPECT_EQ(std::string(error.what()).find("unsupported type: a Python decimal.Decimal"), 0U);
  }
}

TEST(Array, KnowsItsShape) {
  const auto array = Array::take<int>({1, 2, 3, 4, 5, 6}, {3, 2});
  EXPECT_EQ(array.rows(1, 2), Array::take<int>({3, 4, 5, 6}, {2, 2}));
  EXPECT_EQ(Array::concatenate(std::array{array.rows(0, 1), array.rows(1, 2)}), array);
  EXPECT_THROW((void)array.rows(2, 2), ConversionError);
  EXPECT_THROW((void)array.elements<double>(), ConversionError);
  EXPECT_THROW(Array("<f8", {2}, owned("short")), ConversionError);
  EXPECT_THROW(Array("<f8", {std::size_t{1} << 62U, 8}, owned("")), ConversionError);
}

}  // namespace
}  // namespace ipf::client
