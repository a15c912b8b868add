#include "store/pickled_buffers.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <utility>

namespace ipf {

namespace {

// Opcodes of Lib/pickletools.py that a list of bytes needs.
constexpr char op_proto = '\x80';
constexpr char op_frame = '\x95';
constexpr char op_empty_list = ']';
constexpr char op_memoize = '\x94';
constexpr char op_binput = 'q';
constexpr char op_long_binput = 'r';
constexpr char op_binget = 'h';
constexpr char op_long_binget = 'j';
constexpr char op_mark = '(';
constexpr char op_short_binbytes = 'C';
constexpr char op_binbytes = 'B';
constexpr char op_binbytes8 = '\x8e';
constexpr char op_append = 'a';
constexpr char op_appends = 'e';
constexpr char op_stop = '.';

void append_number(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    out.push_back(static_cast<char>((value >> (8 * i)) & 0xffU));
  }
}

void append_bytes(std::string& out, std::string_view bytes) {
  if (bytes.size() <= 0xffU) {
    out.push_back(op_short_binbytes);
    append_number(out, bytes.size(), 1);
  } else if (bytes.size() <= 0xffffffffU) {
    out.push_back(op_binbytes);
    append_number(out, bytes.size(), 4);
  } else {
    out.push_back(op_binbytes8);
    append_number(out, bytes.size(), 8);
  }
  out += bytes;
}

/// A stack machine with one list: what lies on the stack is the list and the items behind it.
class Unpickler {
 public:
  explicit Unpickler(std::string_view text) : text_(text) {}

  Result<std::vector<std::string_view>> run() {
    while (at_ < text_.size()) {
      const char op = text_[at_++];
      if (op == op_stop) {
        return has_list_ && pending_.empty() ? Result<std::vector<std::string_view>>(items_)
                                             : broken("it ends too early");
      }
      if (!step(op)) {
        return broken("it is cut off, or no list of bytes");
      }
    }
    return broken("it has no end");
  }

 private:
  static Unexpected broken(const char* why) {
    return unexpected(ErrorCode::malformed, std::string("not a pickled list of bytes: ") + why);
  }

  std::optional<std::uint64_t> number(std::size_t bytes) {
    if (text_.size() - at_ < bytes) {
      return std::nullopt;
    }
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      value |= std::uint64_t{static_cast<unsigned char>(text_[at_ + i])} << (8 * i);
    }
    at_ += bytes;
    return value;
  }

  bool push_bytes(std::size_t length_bytes) {
    const auto size = number(length_bytes);
    if (!size || *size > text_.size() - at_ || !has_list_) {
      return false;
    }
    pending_.push_back(text_.substr(at_, *size));
    at_ += *size;
    return true;
  }

  /// The memo numbers objects; the list itself has a number, too.
  bool remember(std::optional<std::uint64_t> key) {
    if (!key) {
      return false;
    }
    if (!pending_.empty()) {
      memo_[*key] = pending_.back();
    }
    return true;
  }

  bool recall(std::optional<std::uint64_t> key) {
    const auto found = key ? memo_.find(*key) : memo_.end();
    if (found == memo_.end()) {
      return false;
    }
    pending_.push_back(found->second);
    return true;
  }

  bool append(bool many) {
    if (many != marked_ || (!many && pending_.size() != 1)) {
      return false;
    }
    items_.insert(items_.end(), pending_.begin(), pending_.end());
    pending_.clear();
    marked_ = false;
    return true;
  }

  bool step(char op) {
    switch (op) {
      case op_proto:
        return number(1).has_value();
      case op_frame:
        return number(8).has_value();
      case op_empty_list:
        return !std::exchange(has_list_, true);
      case op_memoize:
        return remember(memoized_++);
      case op_binput:
        return remember(number(1));
      case op_long_binput:
        return remember(number(4));
      case op_binget:
        return recall(number(1));
      case op_long_binget:
        return recall(number(4));
      case op_mark:
        return !std::exchange(marked_, true) && pending_.empty();
      case op_short_binbytes:
        return push_bytes(1);
      case op_binbytes:
        return push_bytes(4);
      case op_binbytes8:
        return push_bytes(8);
      case op_append:
        return append(false);
      case op_appends:
        return append(true);
      default:
        return false;
    }
  }

  std::string_view text_;
  std::size_t at_{};
  bool has_list_{false};
  bool marked_{false};
  std::uint64_t memoized_{};
  std::vector<std::string_view> pending_;
  std::vector<std::string_view> items_;
  std::unordered_map<std::uint64_t, std::string_view> memo_;
};

}  // namespace

std::string pickle_buffers(const std::vector<std::string_view>& buffers) {
  std::size_t bytes = 8;
  for (const auto buffer : buffers) {
    bytes += buffer.size() + 9;
  }
  std::string out;
  out.reserve(bytes);
  out += {op_proto, '\x05', op_empty_list, op_mark};
  for (const auto buffer : buffers) {
    append_bytes(out, buffer);
  }
  out += {op_appends, op_stop};
  return out;
}

Result<std::vector<std::string_view>> unpickle_buffers(std::string_view pickle) {
  return Unpickler(pickle).run();
}

}  // namespace ipf
