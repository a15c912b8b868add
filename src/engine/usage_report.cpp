#include "engine/usage_report.hpp"

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>

#include "core/process_info.hpp"
#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

std::uint64_t meminfo_bytes(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  std::string name;
  while (file >> name) {
    std::uint64_t kibibytes = 0;
    file >> kibibytes;
    if (name == field + ":") {
      return kibibytes * 1024;
    }
    file.ignore(256, '\n');
  }
  return 0;
}

}  // namespace

std::string UsageMeter::content(TimePoint now) {
  const ProcessUsage usage = process_usage();
  const double cpu = std::chrono::duration<double>(usage.cpu).count();
  const double elapsed = static_cast<double>((now - last_).count()) / 1e9;
  const double percent =
      last_cpu_seconds_ > 0 && elapsed > 0 ? 100 * (cpu - last_cpu_seconds_) / elapsed : 0.0;
  last_ = now;
  last_cpu_seconds_ = cpu;
  const auto total = meminfo_bytes("MemTotal");
  const auto available = meminfo_bytes("MemAvailable");
  const double used_percent =
      total == 0 ? 0.0
                 : 100.0 * static_cast<double>(total - available) / static_cast<double>(total);
  return dump_json({{"status", "ok"},
                    {"hostname", host_name()},
                    {"pid", getpid()},
                    {"kernel_cpu", percent},
                    {"kernel_memory", usage.resident_bytes},
                    {"cpu_count", std::thread::hardware_concurrency()},
                    {"host_virtual_memory",
                     {{"total", total},
                      {"available", available},
                      {"used", total - available},
                      {"percent", used_percent}}}});
}

}  // namespace ipf::engine
