#include "engine/process_tree.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "core/process_info.hpp"

namespace ipf::engine {

namespace {

constexpr std::size_t processes_max = 10'000;

std::string directory(pid_t pid) {
  return "/proc/" + std::to_string(pid);
}

/// Children are listed with the thread that started them.
void add_children(pid_t pid, std::vector<pid_t>& out) {
  std::error_code failure;
  for (const auto& task : std::filesystem::directory_iterator(directory(pid) + "/task", failure)) {
    std::ifstream file(task.path() / "children");
    for (pid_t child = 0; file >> child;) {
      out.push_back(child);
    }
  }
}

/// Number behind `Pss:` in kB.
std::uint64_t pss_kibibytes(pid_t pid) {
  std::ifstream file(directory(pid) + "/smaps_rollup");
  for (std::string word; file >> word;) {
    if (word == "Pss:") {
      std::uint64_t amount = 0;
      file >> amount;
      return amount;
    }
  }
  return 0;
}

}  // namespace

std::vector<pid_t> process_tree(pid_t root) {
  std::vector<pid_t> out;
  if (kill(root, 0) != 0) {
    return out;
  }
  out.push_back(root);
  for (std::size_t i = 0; i < out.size() && out.size() < processes_max; ++i) {
    add_children(out[i], out);
  }
  return out;
}

std::uint64_t resident_bytes(const std::vector<pid_t>& processes) {
  std::uint64_t bytes = 0;
  for (const pid_t pid : processes) {
    bytes += ipf::resident_bytes(pid);
  }
  return bytes;
}

std::uint64_t proportional_bytes(const std::vector<pid_t>& processes) {
  std::uint64_t bytes = 0;
  for (const pid_t pid : processes) {
    bytes += pss_kibibytes(pid) * 1024;
  }
  return bytes;
}

void kill_descendants(pid_t root) {
  auto processes = process_tree(root);
  // The last ones first: a parent that sees its child die may start another.
  std::ranges::reverse(processes);
  for (const pid_t pid : processes) {
    if (pid != root) {
      kill(pid, SIGKILL);
    }
  }
}

}  // namespace ipf::engine
