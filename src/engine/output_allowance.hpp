#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ipf::engine {

/// How much text one request may show; what comes on top is replaced by one line that says so. An
/// endless loop of prints would otherwise fill the memory of the controller, its database and every
/// client. One thread, or guarded by its owner.
class OutputAllowance {
 public:
  static constexpr std::size_t default_bytes_max = std::size_t{64} << 20U;

  /// 0: no limit.
  explicit OutputAllowance(std::size_t bytes_max = default_bytes_max) : bytes_max_(bytes_max) {}

  /// Another request begins.
  void restart() { used_ = 0; }
  [[nodiscard]] bool used_up() const { return bytes_max_ > 0 && used_ >= bytes_max_; }
  /// Appends to `out` what may still be shown of `text` (UTF-8), and the line when it is cut.
  void add(std::string_view text, std::string& out) {
    if (bytes_max_ == 0 || text.size() < bytes_max_ - used_) {
      used_ += bytes_max_ == 0 ? 0 : text.size();
      out += text;
      return;
    }
    if (used_up()) {
      return;
    }
    std::size_t shown = bytes_max_ - used_;
    while (shown > 0 && shown < text.size() && is_inside_character(text[shown])) {
      --shown;
    }
    out += text.substr(0, shown);
    out += "\n[more than " + std::to_string(bytes_max_) +
           " bytes of output in one request: the rest is not shown]\n";
    used_ = bytes_max_;
  }

 private:
  static bool is_inside_character(char c) {
    constexpr unsigned kind_mask = 0xC0;
    constexpr unsigned inside = 0x80;
    return (static_cast<unsigned char>(c) & kind_mask) == inside;
  }

  std::size_t bytes_max_;
  std::size_t used_{};
};

}  // namespace ipf::engine
