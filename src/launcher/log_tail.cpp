#include "launcher/log_tail.hpp"

#include <charconv>
#include <deque>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include "core/log.hpp"

namespace ipf {

namespace {

constexpr std::uint64_t tail_bytes_max = 64 * 1024;
constexpr std::uint64_t head_bytes_max = 1024 * 1024;
constexpr std::size_t line_length_max = 400;

std::string read_part(const std::filesystem::path& file, std::uint64_t offset, std::uint64_t most) {
  std::ifstream in(file, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(offset));
  std::string text(most, '\0');
  in.read(text.data(), static_cast<std::streamsize>(most));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

std::uint64_t size_of(const std::filesystem::path& file) {
  std::error_code failure;
  const std::uintmax_t size = std::filesystem::file_size(file, failure);
  return failure ? 0 : size;
}

}  // namespace

std::string last_lines(const std::filesystem::path& file, std::size_t most) {
  const std::uint64_t size = size_of(file);
  const std::uint64_t offset = size > tail_bytes_max ? size - tail_bytes_max : 0;
  std::istringstream text(read_part(file, offset, size - offset));
  std::deque<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(printable(line, line_length_max));
    if (lines.size() > most) {
      lines.pop_front();
    }
  }
  std::string out;
  for (const std::string& line : lines) {
    out += (out.empty() ? "    " : "\n    ") + line;
  }
  return out;
}

std::optional<int> registered_id(const std::filesystem::path& engine_log) {
  const std::string text = read_part(engine_log, 0, head_bytes_max);
  const std::size_t at = text.find(registration_mark);
  if (at == std::string::npos) {
    return std::nullopt;
  }
  int id = 0;
  const char* const begin = text.data() + at + registration_mark.size();
  const auto [end, failure] = std::from_chars(begin, text.data() + text.size(), id);
  return failure == std::errc{} ? std::optional{id} : std::nullopt;
}

void RegistrationLogs::watch(std::vector<std::filesystem::path> files) {
  files_.clear();
  for (auto& file : files) {
    files_.push_back({.file = std::move(file), .offset = 0, .rest = {}, .registered = false});
  }
}

int RegistrationLogs::count() {
  int registered = 0;
  for (Watched& watched : files_) {
    const std::uint64_t size = watched.registered ? 0 : size_of(watched.file);
    if (size > watched.offset) {
      const std::string fresh = read_part(watched.file, watched.offset, size - watched.offset);
      watched.offset += fresh.size();
      watched.rest += fresh;
      watched.registered = watched.rest.find(registration_mark) != std::string::npos;
      if (watched.rest.size() > registration_mark.size()) {
        watched.rest.erase(0, watched.rest.size() - registration_mark.size());
      }
    }
    registered += watched.registered ? 1 : 0;
  }
  return registered;
}

}  // namespace ipf
