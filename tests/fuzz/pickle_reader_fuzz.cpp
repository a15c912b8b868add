// Bytes of a result: whatever is understood can be sent again and is then the same.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/pickle_reader.hpp"
#include "client/pickle_writer.hpp"
#include "core/check.hpp"

namespace {

/// The first byte says how many buffers of 16 bytes follow the pickle.
std::vector<ipf::Buffer> buffers_of(std::string_view data) {
  const auto owner = std::make_shared<const std::string>(data);
  std::string_view rest = *owner;
  std::vector<ipf::Buffer> out{{owner, {}}};
  const std::size_t wanted = rest.empty() ? 0 : static_cast<unsigned char>(rest.front()) % 4;
  rest.remove_prefix(rest.empty() ? 0 : 1);
  for (std::size_t i = 0; i < wanted && rest.size() >= 16; ++i) {
    out.push_back({owner, rest.substr(rest.size() - 16)});
    rest.remove_suffix(16);
  }
  out.front().bytes = rest;
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  const auto value = ipf::client::read_object(
      buffers_of(std::string_view(reinterpret_cast<const char*>(data), size)));
  if (!value) {
    return 0;
  }
  static_cast<void>(value->repr());
  std::vector<ipf::Buffer> sent;
  try {
    ipf::client::append_object(sent, *value);
  } catch (const ipf::ConversionError&) {
    return 0;  // holds an object that has only its name
  }
  const auto again = ipf::client::read_object(sent);
  IPF_CHECK(again);
  IPF_CHECK(again->kind() == value->kind());
  return 0;
}
