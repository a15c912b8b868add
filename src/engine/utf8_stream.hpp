#pragma once

#include <string>
#include <string_view>

namespace ipf::engine {

/// Makes valid UTF-8 of bytes that come in pieces: a character that is cut at the end of a piece
/// waits for its rest, and what cannot be UTF-8 becomes U+FFFD.
class Utf8Stream {
 public:
  /// Appends what is complete to `out`.
  void add(std::string_view bytes, std::string& out);
  /// Nothing will follow: a character that still waits is broken.
  void finish(std::string& out);

 private:
  std::string cut_{};
};

}  // namespace ipf::engine
