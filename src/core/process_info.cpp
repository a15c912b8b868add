#include "core/process_info.hpp"

#include <fstream>
#include <sstream>
#include <string>
#include <sys/resource.h>
#include <unistd.h>

#include "core/file_io.hpp"

namespace ipf {

std::uint64_t process_start_ticks(pid_t pid) {
  if (pid <= 0) {
    return 0;
  }
  const std::string line = read_file("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t name_end = line.rfind(')');  // the name may hold spaces and parentheses
  if (name_end == std::string::npos) {
    return 0;
  }
  std::istringstream rest(line.substr(name_end + 1));
  std::string field;
  std::string state;
  rest >> state;
  if (state == "Z" || state == "X") {
    return 0;
  }
  constexpr int fields_between_state_and_start = 18;
  for (int i = 0; i < fields_between_state_and_start; ++i) {
    rest >> field;
  }
  std::uint64_t start = 0;
  rest >> start;
  return start;
}

bool process_alive(pid_t pid, std::uint64_t start_ticks) {
  const std::uint64_t now = process_start_ticks(pid);
  return now != 0 && (start_ticks == 0 || now == start_ticks);
}

std::uint64_t resident_bytes(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  file >> total_pages >> resident_pages;
  return resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

ProcessUsage process_usage() {
  ProcessUsage out;
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) == 0) {
    for (const timeval& part : {usage.ru_utime, usage.ru_stime}) {
      out.cpu += std::chrono::seconds(part.tv_sec) + std::chrono::microseconds(part.tv_usec);
    }
  }
  out.resident_bytes = resident_bytes(getpid());
  return out;
}

}  // namespace ipf
