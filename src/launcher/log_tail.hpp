#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipf {

/// What an engine writes to its log when it is in (protocol.md 8.1); the engine id follows.
inline constexpr std::string_view registration_mark = "Completed registration with id ";

/// The last `most` lines of a file, read from at most its last 64 KiB, made printable and with
/// each line indented by four spaces, for a message about a process that ended. Empty when there
/// is nothing to show.
std::string last_lines(const std::filesystem::path& file, std::size_t most);

/// The id behind the registration mark in the first MiB of an engine's log.
std::optional<int> registered_id(const std::filesystem::path& engine_log);

/// Counts engines whose log holds the registration mark; reads only what is new since the last
/// call. For launchers on this machine, while nothing else can tell.
class RegistrationLogs {
 public:
  void watch(std::vector<std::filesystem::path> files);
  int count();

 private:
  struct Watched {
    std::filesystem::path file{};
    std::uint64_t offset{};
    std::string rest{};  ///< the end of what was read, in which a mark may have begun
    bool registered{};
  };
  std::vector<Watched> files_{};
};

}  // namespace ipf
