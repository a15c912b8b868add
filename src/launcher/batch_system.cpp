#include "launcher/batch_system.hpp"

#include <charconv>
#include <sstream>

namespace ipf {

std::string BatchSystem::log_of(const BatchJob& job, int task) const {
  return job.log_stem + (job.array ? "-" + std::to_string(task) : "") + ".log";
}

std::vector<std::string> BatchSystem::signal_arguments(int number,
                                                       const std::string& target,
                                                       const std::string& /*script*/) const {
  return {std::to_string(number), target};
}

std::string shell_word(std::string_view word) {
  constexpr std::string_view plain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_";
  if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) {
    return std::string{word};
  }
  std::string out = "'";
  for (const char c : word) {
    out += c == '\'' ? std::string{"'\"'\"'"} : std::string{c};
  }
  return out + "'";
}

std::string shell_words(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() ? "" : " ") + shell_word(word);
  }
  return out;
}

std::string shell_script(const std::string& prefix,
                         const std::vector<std::string>& directives,
                         const std::string& body) {
  std::string out = "#!/bin/sh\n";
  for (const std::string& directive : directives) {
    out += prefix + " " + directive + "\n";
  }
  return out + body;
}

void append(std::vector<std::string>& directives, const std::vector<std::string>& more) {
  directives.insert(directives.end(), more.begin(), more.end());
}

std::optional<long> walltime_seconds(const std::string& walltime) {
  const auto rows = table(walltime, ':');
  constexpr std::size_t parts_max = 3;
  if (rows.size() != 1 || rows[0].size() > parts_max) {
    return std::nullopt;
  }
  long out = 0;
  for (const std::string& part : rows[0]) {
    constexpr long sixty = 60;
    constexpr long largest = 100'000'000;
    long value = 0;
    const char* const end = part.data() + part.size();
    const auto read = std::from_chars(part.data(), end, value);
    if (read.ec != std::errc{} || read.ptr != end || value < 0 || value > largest) {
      return std::nullopt;
    }
    out = out * sixty + value;
  }
  return rows[0].size() == 1 ? out * 60 : out;
}

std::vector<std::vector<std::string>> table(std::string_view text, char separator) {
  std::vector<std::vector<std::string>> out;
  std::istringstream lines{std::string{text}};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    std::vector<std::string> row;
    for (std::string field; std::getline(fields, field, separator);) {
      if (separator != ' ' || !field.empty()) {
        row.push_back(field);
      }
    }
    if (!row.empty()) {
      out.push_back(std::move(row));
    }
  }
  return out;
}

}  // namespace ipf
