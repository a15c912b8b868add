#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/ids.hpp"

namespace ipf::engine {

/// The lines that an engine and its nanny exchange over their socket, one JSON object each.
///
/// | from   | line                                    | meaning |
/// |--------|-----------------------------------------|------------------------------------------------|
/// | engine | {"id", "uuid", "url", "key", "scheme", "curve_serverkey"}  | registered: what the
/// nanny says when it dies   | | engine | {"unregistered": true}                  | the hub has
/// been told | | engine |
/// {"leaving": true, "restart": bool}      | its end is no crash; a client wants a new one  | |
/// nanny  | {"end": "why"}                          | answer the request that runs with it, and end
/// |

/// What the nanny has to know of a registered engine.
struct EngineCard {
  std::string uuid{};
  std::string url{};
  std::string key{};
  std::string scheme{};
  std::optional<std::string> curve_serverkey{};
  EngineId id{};
};

std::string registered_line(const EngineCard& card);
std::string unregistered_line();
std::string leaving_line(bool restart);
std::string end_line(std::string_view why);

/// A line as its reader understands it; lines that make no sense are empty.
struct NannyLine {
  std::optional<EngineCard> card{};
  bool unregistered{};
  bool leaving{};
  bool restart{};
  std::optional<std::string> end{};
};
NannyLine read_nanny_line(std::string_view line);

/// Takes the lines out of a stream of bytes.
class LineBuffer {
 public:
  void add(std::string_view bytes) {
    constexpr std::size_t bytes_max = 65536;
    text_ += bytes;
    if (text_.size() > bytes_max && text_.find('\n') == std::string::npos) {
      text_.clear();
    }
  }
  std::optional<std::string> take() {
    const auto end = text_.find('\n');
    if (end == std::string::npos) {
      return std::nullopt;
    }
    std::string line = text_.substr(0, end);
    text_.erase(0, end + 1);
    return line;
  }

 private:
  std::string text_{};
};

}  // namespace ipf::engine
