#include "hub/glob_pattern.hpp"

#include <algorithm>
#include <bit>

namespace ipf {

namespace {

constexpr std::size_t word_bits = 64;

void set_bit(std::vector<std::uint64_t>& bits, std::size_t i) {
  bits[i / word_bits] |= std::uint64_t{1} << (i % word_bits);
}

/// Bytes of the sequence that begins with this byte, or 0 if none does.
std::size_t sequence_length(unsigned char first) {
  if (first < 0x80U) {
    return 1;
  }
  const auto ones = static_cast<std::size_t>(std::countl_one(first));
  return ones >= 2 && ones <= 4 ? ones : 0;
}

/// The next code point; a byte that is no UTF-8 stands for itself (above all code points).
char32_t next_character(std::string_view text, std::size_t& at) {
  constexpr char32_t broken_base = 0x200000;
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t length = sequence_length(first);
  if (length == 1) {
    ++at;
    return first;
  }
  if (length == 0 || at + length > text.size()) {
    ++at;
    return broken_base + first;
  }
  char32_t value = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    const auto byte = static_cast<unsigned char>(text[at + i]);
    if ((byte & 0xC0U) != 0x80U) {
      ++at;
      return broken_base + first;
    }
    value = (value << 6U) | (byte & 0x3FU);
  }
  at += length;
  return value;
}

}  // namespace

bool GlobPattern::accepts(const Token& token, char32_t c) {
  switch (token.kind) {
    case Kind::character:
      return token.character == c;
    case Kind::any:
      return true;
    case Kind::set:
      break;
  }
  const bool in = std::ranges::any_of(
      token.ranges, [c](const Range& range) { return range.first <= c && c <= range.last; });
  return in != token.negated;
}

/// Reads the set behind `[` at `at`. False, and nothing read, when no `]` closes it.
bool GlobPattern::read_set(std::string_view pattern, std::size_t& at, Token& token) {
  std::size_t next = at;
  token.kind = Kind::set;
  if (next < pattern.size() && pattern[next] == '!') {
    token.negated = true;
    ++next;
  }
  // A `]` directly behind the bracket belongs to the set.
  const std::size_t close = pattern.find(']', next + 1);
  if (next >= pattern.size() || close == std::string_view::npos) {
    return false;
  }
  const std::string_view body = pattern.substr(next, close - next);
  for (std::size_t i = 0; i < body.size();) {
    const char32_t first = next_character(body, i);
    char32_t last = first;
    if (i + 1 < body.size() && body[i] == '-') {
      ++i;
      last = next_character(body, i);
    }
    token.ranges.push_back({.first = first, .last = last});  // an empty range takes nothing
  }
  at = close + 1;
  return true;
}

Result<GlobPattern> GlobPattern::compile(std::string_view pattern) {
  if (pattern.size() > bytes_max) {
    return unexpected(ErrorCode::too_large, "$glob pattern of " + std::to_string(pattern.size()) +
                                                " bytes; the limit is " +
                                                std::to_string(bytes_max));
  }
  GlobPattern out;
  out.star_at_.assign(pattern.size() / word_bits + 1, 0);
  for (std::size_t at = 0; at < pattern.size();) {
    const char32_t c = next_character(pattern, at);
    if (c == U'*') {
      set_bit(out.star_at_, out.tokens_.size());
      continue;
    }
    Token token{.kind = c == U'?' ? Kind::any : Kind::character, .character = c};
    if (c == U'[') {
      Token set;
      if (read_set(pattern, at, set)) {
        token = std::move(set);
      }
    }
    out.tokens_.push_back(std::move(token));
  }
  out.index();
  return out;
}

void GlobPattern::index() {
  words_ = tokens_.size() / word_bits + 1;
  star_at_.resize(words_);
  ascii_accepting_.assign(ascii * words_, 0);
  for (std::size_t c = 0; c < ascii; ++c) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (accepts(tokens_[i], static_cast<char32_t>(c))) {
        ascii_accepting_[c * words_ + i / word_bits] |= std::uint64_t{1} << (i % word_bits);
      }
    }
  }
}

const std::uint64_t* GlobPattern::accepting(char32_t c, Bits& scratch) const {
  if (c < ascii) {
    return &ascii_accepting_[c * words_];
  }
  std::ranges::fill(scratch, 0);
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    if (accepts(tokens_[i], c)) {
      set_bit(scratch, i);
    }
  }
  return scratch.data();
}

bool GlobPattern::matches(std::string_view text) const {
  // Bit i of `states`: the tokens before i have taken the text so far.
  Bits states(words_, 0);
  Bits scratch(words_, 0);
  states[0] = 1;
  for (std::size_t at = 0; at < text.size();) {
    const std::uint64_t* taken = accepting(next_character(text, at), scratch);
    std::uint64_t carry = 0;
    std::uint64_t any = 0;
    for (std::size_t word = 0; word < words_; ++word) {
      const std::uint64_t stepped = states[word] & taken[word];
      const std::uint64_t stayed = states[word] & star_at_[word];
      states[word] = (stepped << 1U) | carry | stayed;
      carry = stepped >> (word_bits - 1);
      any |= states[word];
    }
    if (any == 0) {
      return false;
    }
  }
  const std::size_t end = tokens_.size();
  return (states[end / word_bits] >> (end % word_bits) & 1U) != 0;
}

}  // namespace ipf
