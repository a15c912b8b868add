#include "store/pickled_buffers.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace ipf {
namespace {

using Views = std::vector<std::string_view>;

/// What Python's pickle.dumps made of the list, highest protocol of that Python.
std::string_view bytes_of(const char* data, std::size_t size) {
  return {data, size};
}

TEST(PickledBuffers, ComeBack) {
  const std::string medium(300, 'm');
  const std::string with_zero("a\0b", 3);
  for (const Views& buffers :
       {Views{}, Views{""}, Views{"one"}, Views{"one", "", medium, with_zero, "one"}}) {
    const auto pickle = pickle_buffers(buffers);
    const auto back = unpickle_buffers(pickle);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, buffers);
  }
}

TEST(PickledBuffers, AreWhatPythonReads) {
  // python3 -c "import pickle; print(pickle.loads(bytes.fromhex('...')))" gives [b'ab', b''].
  const char expected[] =
      "\x80\x05](C\x02"
      "abC\x00"
      "e.";  // NOLINT(modernize-avoid-c-arrays)
  EXPECT_EQ(pickle_buffers({"ab", ""}), bytes_of(expected, sizeof(expected) - 1));
}

TEST(PickledBuffers, ReadsWhatPythonWrites) {
  // pickle.dumps([b'ab', x, x], protocol) with x = b'xyz', for the protocols 4 and 3.
  const char four[] =  // NOLINT(modernize-avoid-c-arrays)
      "\x80\x04\x95\x14\x00\x00\x00\x00\x00\x00\x00]\x94(C\x02"
      "ab\x94"
      "C\x03xyz\x94h\x02"
      "e.";
  const char three[] =  // NOLINT(modernize-avoid-c-arrays)
      "\x80\x03]q\x00(C\x02"
      "abq\x01"
      "C\x03xyzq\x02h\x02"
      "e.";
  // pickle.dumps([b'ab'], 5)
  const char single[] =  // NOLINT(modernize-avoid-c-arrays)
      "\x80\x05\x95\x0a\x00\x00\x00\x00\x00\x00\x00]\x94"
      "C\x02"
      "ab\x94"
      "a.";
  for (const auto pickle : {bytes_of(four, sizeof(four) - 1), bytes_of(three, sizeof(three) - 1)}) {
    const auto buffers = unpickle_buffers(pickle);
    ASSERT_TRUE(buffers) << buffers.error().message;
    EXPECT_EQ(*buffers, (Views{"ab", "xyz", "xyz"}));
  }
  const auto one = unpickle_buffers(bytes_of(single, sizeof(single) - 1));
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(*one, Views{"ab"});
}

TEST(PickledBuffers, NothingElseIsReadAndNothingIsCutOff) {
  const std::string good = pickle_buffers({"ab", "cd"});
  for (std::size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(unpickle_buffers(std::string_view(good).substr(0, i))) << i;
  }
  // os.system as pickle knows it.
  EXPECT_FALSE(unpickle_buffers("\x80\x05\x8c\x05posix\x94\x8c\x06system\x94\x93."));
  EXPECT_FALSE(unpickle_buffers("\x80\x05](]e."));
  EXPECT_FALSE(
      unpickle_buffers("\x80\x05]h\x07"
                       "a."));
  EXPECT_FALSE(
      unpickle_buffers("\x80\x05]B\xff\xff\xff\xff"
                       "a."));
}

}  // namespace
}  // namespace ipf
