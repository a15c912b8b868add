#include "core/log_pruning.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/process_info.hpp"

namespace ipf {

namespace {

struct LogFile {
  std::filesystem::path path{};
  std::filesystem::file_time_type written{};
  std::uintmax_t bytes{};
};

/// "ipengine-c-17-3" of ipengine-c-17-3.log and ipengine-c-17-3.log.1; nothing for other files.
std::optional<std::string> stem_of(const std::string& name) {
  const auto found = name.rfind(".log");
  if (found == std::string::npos ||
      name.find_first_not_of("0123456789.", found + 4) != std::string::npos) {
    return std::nullopt;
  }
  return name.substr(0, found);
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
      std::ifstream in(entry.path(), std::ios::binary);
      out.append(std::istreambuf_iterator<char>(in), {});
    }
  }
  return out;
}

/// True for what may be written to still: logs that a cluster file names, logs of an engine set
/// that one names (array jobs stand there without the number), and logs of a living process.
bool in_use(const std::string& stem, const std::string& clusters) {
  if (clusters.find(stem + ".log") != std::string::npos) {
    return true;
  }
  const auto dash = stem.rfind('-');
  if (dash == std::string::npos) {
    return false;
  }
  if (stem.starts_with("ipengine-") && clusters.find(stem.substr(0, dash)) != std::string::npos) {
    return true;
  }
  pid_t pid = 0;
  const char* const end = stem.data() + stem.size();
  const auto parsed = std::from_chars(stem.data() + dash + 1, end, pid);
  return parsed.ec == std::errc{} && parsed.ptr == end && process_alive(pid);
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
