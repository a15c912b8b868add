#include "controller/listen_plan.hpp"

#include <charconv>

#include "core/log.hpp"

namespace ipf {

namespace {

bool parse_port(std::string_view text, int& out) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  return failure == std::errc{} && end == text.data() + text.size() && out >= 1 && out <= 65535;
}

}  // namespace

Result<PortPool> PortPool::parse(std::string_view text) {
  PortPool pool;
  const std::string whole(text);
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t dash = part.find('-');
    int first = 0;
    int last = 0;
    if (!parse_port(part.substr(0, dash), first) ||
        !parse_port(dash == std::string_view::npos ? part : part.substr(dash + 1), last) ||
        last < first) {
      return unexpected(
          ErrorCode::invalid_argument,
          "ports '" + printable(whole) + "': use numbers and ranges such as 10101-10110,10120");
    }
    for (int port = first; port <= last; ++port) {
      pool.ports_.push_back(port);
    }
  }
  return pool;
}

int PortPool::take(PortPool* fallback) {
  if (ports_.empty()) {
    return fallback == nullptr ? 0 : fallback->take();
  }
  const int port = ports_.front();
  ports_.pop_front();
  return port;
}

}  // namespace ipf
