#include "core/log_pruning.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "core/file_io.hpp"
#include "core/process_info.hpp"

namespace ipf {

namespace {

struct LogFile {
  std::filesystem::path path{};
  std::filesystem::file_time_type written{};
  std::uintmax_t bytes{};
};

/// The number after the last separator of a name; both are cut off.
std::optional<int> take_number(std::string& name, char separator) {
  const auto at = name.rfind(separator);
  int number = 0;
  const char* const end = name.data() + name.size();
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const auto parsed = std::from_chars(name.data() + at + 1, end, number);
  if (parsed.ec != std::errc{} || parsed.ptr != end) {
    return std::nullopt;
  }
  name.resize(at);
  return number;
}

/// "ipengine-c-17-3" of ipengine-c-17-3.log and of ipengine-c-17-3.1.log; nothing for other files.
std::optional<std::string> stem_of(std::string name) {
  constexpr std::string_view suffix = ".log";
  if (!name.ends_with(suffix)) {
    return std::nullopt;
  }
  name.resize(name.size() - suffix.size());
  take_number(name, '.');
  return name;
}

std::vector<LogFile> oldest_first(const std::filesystem::path& dir) {
  std::vector<LogFile> out;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(dir, failure)) {
    std::error_code gone;
    LogFile file{.path = entry.path(),
                 .written = entry.last_write_time(gone),
                 .bytes = entry.file_size(gone)};
    if (!gone && entry.is_regular_file(gone) && stem_of(entry.path().filename().string())) {
      out.push_back(std::move(file));
    }
  }
  std::ranges::sort(out, {}, &LogFile::written);
  return out;
}

/// The texts of all cluster files.
std::string cluster_files(const std::filesystem::path& dir) {
  std::string out;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(dir, failure)) {
    if (entry.path().filename().string().starts_with("cluster-")) {
      out += read_file(entry.path());
    }
  }
  return out;
}

/// True for what may be written to still.
bool in_use(std::string stem, const std::string& clusters) {
  if (clusters.find(stem + ".log") != std::string::npos) {
    return true;
  }
  const auto number = take_number(stem, '-');
  if (!number) {
    return false;
  }
  std::string more = stem;
  if (stem.starts_with("ipengine-") &&
      take_number(more, '-')) {                       // ipengine-<cluster>-<set>-<index>
    return clusters.find(stem) != std::string::npos;  // array jobs stand there without the index
  }
  return process_alive(*number);
}

}  // namespace

std::size_t prune_logs(const std::filesystem::path& profile_dir, const LogLimits& limits) {
  const std::vector<LogFile> files = oldest_first(profile_dir / "log");
  std::size_t left = files.size();
  std::uintmax_t bytes = 0;
  for (const LogFile& file : files) {
    bytes += file.bytes;
  }
  if (left <= limits.files_max && bytes <= limits.bytes_max) {
    return 0;
  }
  const std::string clusters = cluster_files(profile_dir / "security");
  std::size_t removed = 0;
  for (const LogFile& file : files) {
    if (left <= limits.files_max && bytes <= limits.bytes_max) {
      break;
    }
    std::error_code failure;
    if (!in_use(*stem_of(file.path.filename().string()), clusters) &&
        std::filesystem::remove(file.path, failure)) {
      ++removed;
      --left;
      bytes -= file.bytes;
    }
  }
  return removed;
}

}  // namespace ipf
