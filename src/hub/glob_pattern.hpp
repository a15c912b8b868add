#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace ipf {

/// A shell pattern as Python's fnmatch reads it: `*`, `?`, `[seq]`, `[!seq]`; an unclosed `[` is a
/// literal. Case matters. One character is one UTF-8 code point; broken UTF-8 counts byte by byte.
///
/// The pattern becomes a nondeterministic automaton whose set of states is a bit set (Baeza-Yates
/// and Gonnet, "A new approach to text searching", CACM 35(10), 1992). A match therefore costs
/// O(text x pattern / 64) whatever the pattern: a `*a*a*a*a*b` cannot make it backtrack.
class GlobPattern {
 public:
  static constexpr std::size_t bytes_max = 1024;

  /// Fails when the pattern is longer than bytes_max.
  static Result<GlobPattern> compile(std::string_view pattern);

  [[nodiscard]] bool matches(std::string_view text) const;

 private:
  enum class Kind { character, any, set };
  struct Range {
    char32_t first{};
    char32_t last{};
  };
  /// One character of the text; `star_before` says that any text may precede it.
  struct Token {
    Kind kind{Kind::character};
    bool negated{false};
    char32_t character{};
    std::vector<Range> ranges{};
  };
  using Bits = std::vector<std::uint64_t>;
  static constexpr std::size_t ascii = 128;

  GlobPattern() = default;
  static bool accepts(const Token& token, char32_t c);
  static bool read_set(std::string_view pattern, std::size_t& at, Token& token);
  void index();
  [[nodiscard]] const std::uint64_t* accepting(char32_t c, Bits& scratch) const;

  std::vector<Token> tokens_;
  Bits star_at_;  ///< bit i: a `*` stands before token i (or at the end)
  std::size_t words_{};
  std::vector<std::uint64_t> ascii_accepting_;  ///< for each ASCII character: tokens that take it
};

}  // namespace ipf
