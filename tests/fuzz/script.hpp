#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "protocol/message.hpp"

namespace ipf::fuzz {

/// Input bytes as a script: the next number, 0 when the bytes are at their end.
class Script {
 public:
  Script(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool ended() const { return at_ >= size_; }
  unsigned next() { return ended() ? 0U : data_[at_++]; }
  unsigned below(unsigned bound) { return next() % bound; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
  std::size_t at_{};
};

inline Message message_from(const std::string& sender) {
  FramesBuilder builder;
  builder.add(sender);
  builder.add("client");
  builder.add(delimiter);
  for (int i = 0; i < 5; ++i) {
    builder.add(std::string_view{});
  }
  auto message = Message::split(builder.finish());
  IPF_CHECK(message.has_value());
  return std::move(*message);
}

inline std::string engine_name(unsigned number) {
  return "e" + std::to_string(number);
}

}  // namespace ipf::fuzz
