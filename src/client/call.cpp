#include "ipyfleet/call.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "client/python_text.hpp"

namespace ipf {

namespace {

std::string_view without_leading_space(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  return begin == std::string_view::npos ? std::string_view() : text.substr(begin);
}

bool begins_with_word(std::string_view text, std::string_view word) {
  return text.starts_with(word) && text.size() > word.size() &&
         (text[word.size()] == ' ' || text[word.size()] == '\t');
}

bool is_statements(std::string_view text) {
  constexpr std::array<std::string_view, 5> words{"def", "async", "class", "import", "from"};
  const std::string_view first = without_leading_space(text);
  return first.starts_with('@') || first.starts_with('#') ||
         std::ranges::any_of(words,
                             [&](std::string_view word) { return begins_with_word(first, word); });
}

}  // namespace

Function::Function(std::string_view text) {
  if (text.find('.') != std::string_view::npos && client::is_dotted_name(text)) {
    *this = imported(std::string(text));
  } else if (is_statements(text)) {
    *this = statements(text);
  } else {
    *this = expression(std::string(text));
  }
}

Function Function::statements(std::string_view python) {
  // With names of their own, so that the last of them is known; the engine's namespace gets all of
  // them, so that a function finds itself and the others.
  return expression(
      "(lambda source, space, new: "
      "(exec(source, space, new), space.update(new), [*new.values()][-1])[2])(" +
      client::python_string(python) + ", globals(), {})");
}

}  // namespace ipf
