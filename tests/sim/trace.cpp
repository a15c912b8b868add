#include "sim/trace.hpp"

#include <array>
#include <cstdio>
#include <string_view>

namespace ipf::sim {

void Trace::note(TimePoint at, const char* what, std::uint32_t task, std::uint32_t engine) {
  const auto mix = [this](std::uint64_t value) {
    digest_ = (digest_ ^ value) * 0x9E3779B97F4A7C15ULL;
    digest_ ^= digest_ >> 29U;
  };
  mix(static_cast<std::uint64_t>(at.nanoseconds));
  mix((std::uint64_t{task} << 32U) | engine);
  for (const char letter : std::string_view(what)) {
    mix(static_cast<std::uint64_t>(letter));
  }
  if (last_.size() == kept_max) {
    last_.pop_front();
  }
  last_.push_back({.at = at, .what = what, .task = task, .engine = engine});
  if (verbose_) {
    std::puts(line(last_.back()).c_str());
  }
}

std::string Trace::line(const Entry& entry) {
  std::array<char, 48> time{};
  std::snprintf(time.data(), time.size(), "%12.6f  ",
                static_cast<double>(entry.at.nanoseconds) * 1e-9);
  std::string out = time.data();
  out += entry.what;
  out += entry.task == none ? "" : " task " + std::to_string(entry.task);
  out += entry.engine == none ? "" : " engine " + std::to_string(entry.engine);
  return out;
}

std::string Trace::tail() const {
  std::string out;
  for (const auto& entry : last_) {
    out += line(entry) + "\n";
  }
  return out;
}

}  // namespace ipf::sim
