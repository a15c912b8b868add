// Text of a connection file; what is understood must survive being written and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.hpp"
#include "protocol/connection_file.hpp"

namespace {

void read_as(ipf::PeerRole role, std::string_view text) {
  auto info = ipf::parse_connection_info(text, role, "fuzz");
  if (!info) {
    IPF_CHECK(info.error().message.find("fuzz") != std::string::npos);
    return;
  }
  if (role == ipf::PeerRole::client) {
    if (info->broadcast.empty()) {
      return;  // written as port 0, which no reader takes
    }
    info->broadcast.resize(1);
  }
  const auto again =
      ipf::parse_connection_info(ipf::connection_info_text(*info, role), role, "again");
  IPF_CHECK(again && *again == *info);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_as(ipf::PeerRole::client, text);
  read_as(ipf::PeerRole::engine, text);
  return 0;
}
