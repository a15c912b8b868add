#include "core/text.hpp"

#include <cerrno>
#include <optional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "core/log.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

constexpr std::string_view hex_digits = "0123456789abcdef";

TEST(Text, RandomHexHasTwoDigitsAByteAndIsNewEachTime) {
  std::set<std::string> seen;
  for (int i = 0; i < 100; ++i) {
    const auto text = random_hex(16);
    EXPECT_EQ(text.size(), 32U);
    EXPECT_EQ(text.find_first_not_of(hex_digits), std::string::npos) << text;
    seen.insert(text);
  }
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_EQ(random_hex(0), "");
  EXPECT_EQ(random_hex(1000).size(), 2000U);
}

TEST(Text, RandomHexUsesEveryDigitAtBothPlaces) {
  const auto text = random_hex(4096);
  for (const char digit : hex_digits) {
    bool high = false;
    bool low = false;
    for (std::size_t i = 0; i < text.size(); i += 2) {
      high = high || text[i] == digit;
      low = low || text[i + 1] == digit;
    }
    EXPECT_TRUE(high && low) << digit;
  }
}

TEST(Text, ASessionIdHasItsDashBehindEightDigits) {
  const auto id = new_session_id();
  ASSERT_EQ(id.size(), 33U);
  EXPECT_EQ(id[8], '-');
  EXPECT_EQ((id.substr(0, 8) + id.substr(9)).find_first_not_of(hex_digits), std::string::npos)
      << id;
}

TEST(Text, SecretsAreEqualOnlyByteByByte) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("abc", "abc"));
  EXPECT_FALSE(equal_constant_time("abc", "abd"));
  EXPECT_FALSE(equal_constant_time("abc", "xbc"));
  EXPECT_FALSE(equal_constant_time("abc", "ab"));
  EXPECT_FALSE(equal_constant_time("", "a"));
  EXPECT_FALSE(equal_constant_time("a\x80", "a\x7f"));
  EXPECT_FALSE(equal_constant_time({"a\0b", 3}, {"a\0c", 3}));
}

TEST(Text, TheHostHasAName) {
  EXPECT_FALSE(host_name().empty());
}

TEST(Text, ErrnoIsExplained) {
  EXPECT_EQ(errno_text(ENOENT), "No such file or directory");
}

TEST(Text, TheUserIsTheEnvironmentsOneElseThePasswordFilesOne) {
  {
    const test::ScopedEnvironment user("USER", "somebody");
    EXPECT_EQ(user_name(), "somebody");
  }
  for (const std::optional<std::string>& missing :
       {std::optional<std::string>{}, std::optional<std::string>{""}}) {
    const test::ScopedEnvironment user("USER", missing);
    EXPECT_FALSE(user_name().empty());
  }
}

TEST(ParseBytes, UnitsArePowersOf1024) {
  EXPECT_EQ(parse_bytes("1000"), 1000U);
  EXPECT_EQ(parse_bytes("500M"), 500U << 20U);
  EXPECT_EQ(parse_bytes("4GiB"), 4ULL << 30U);
  EXPECT_EQ(parse_bytes("1.5kB"), 1536U);
  for (const char* wrong : {"", "G", "-1", "4X", "4 G", "1e30", "4GG", "nan"}) {
    EXPECT_EQ(parse_bytes(wrong), std::nullopt) << wrong;
  }
}

TEST(Printable, ControlCharactersAndForeignBytesBecomeQuestionMarks) {
  EXPECT_EQ(printable("plain text ~"), "plain text ~");
  EXPECT_EQ(printable("a\nb\x1b[31m\x7f\xc3\xa4"), "a?b?[31m???");
  EXPECT_EQ(printable({"\0", 1}), "?");
}

TEST(Printable, LongTextIsCut) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("abc", 3), "abc");
  EXPECT_EQ(printable(std::string(1000, 'x')).size(), 123U);
}

}  // namespace
}  // namespace ipf
