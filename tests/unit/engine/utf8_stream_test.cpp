#include "engine/utf8_stream.hpp"

#include <algorithm>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "core/rng.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {
namespace {

std::string whole(std::string_view bytes, std::size_t piece) {
  Utf8Stream stream;
  std::string out;
  while (!bytes.empty()) {
    stream.add(bytes.substr(0, piece), out);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  stream.finish(out);
  return out;
}

TEST(Utf8StreamTest, PiecesMakeNoDifference) {
  const std::string text = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z";
  for (std::size_t piece = 1; piece < 6; ++piece) {
    EXPECT_EQ(whole(text, piece), text) << piece;
  }
}

TEST(Utf8StreamTest, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(whole("a\xFFz", 9), "a\xEF\xBF\xBDz");
  EXPECT_EQ(whole("\xC3(", 9), "\xEF\xBF\xBD(");
  EXPECT_EQ(whole("\xC0\xAF", 9), "\xEF\xBF\xBD\xEF\xBF\xBD") << "overlong";
  EXPECT_EQ(whole("\xE2\x82", 9), "\xEF\xBF\xBD") << "cut at the end";
}

TEST(Utf8StreamTest, AnyBytesBecomeValidJsonText) {
  Rng rng(7);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (std::uint64_t i = rng.below(40); i > 0; --i) {
      bytes += static_cast<char>(rng.below(3) == 0 ? rng.below(256) : 0x80 + rng.below(128));
    }
    std::string quoted;
    append_json_string(quoted, whole(bytes, 1 + rng.below(5)));
    EXPECT_TRUE(parse_json(quoted)) << "round " << round;
  }
}

}  // namespace
}  // namespace ipf::engine
