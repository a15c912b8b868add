#include "protocol/kernel_file.hpp"

#include <cstdint>

#include "protocol/json_text.hpp"

namespace ipf {

namespace {

struct PortKey {
  const char* key;
  int KernelConnection::* field;
};
constexpr PortKey ports[] = {{"shell_port", &KernelConnection::shell_port},
                             {"iopub_port", &KernelConnection::iopub_port},
                             {"stdin_port", &KernelConnection::stdin_port},
                             {"control_port", &KernelConnection::control_port},
                             {"hb_port", &KernelConnection::hb_port}};

struct TextKey {
  const char* key;
  std::string KernelConnection::* field;
};
constexpr TextKey texts[] = {{"ip", &KernelConnection::ip},
                             {"key", &KernelConnection::key},
                             {"transport", &KernelConnection::transport},
                             {"signature_scheme", &KernelConnection::signature_scheme},
                             {"kernel_name", &KernelConnection::kernel_name}};

Error wrong(std::string_view source, const std::string& problem) {
  return {ErrorCode::malformed, "kernel connection file " + std::string(source) + ": " + problem};
}

}  // namespace

bool is_kernel_connection(std::string_view text) {
  const auto parsed = parse_json(text);
  return parsed && parsed->is_object() && parsed->contains("shell_port") &&
         parsed->contains("hb_port");
}

Result<KernelConnection> parse_kernel_connection(std::string_view text, std::string_view source) {
  const auto parsed = parse_json_object(text, source);
  if (!parsed) {
    return unexpected(wrong(source, parsed.error().message));
  }
  KernelConnection out;
  constexpr std::int64_t port_max = 65535;
  for (const auto& [key, field] : ports) {
    const auto found = parsed->find(key);
    if (found == parsed->end()) {
      continue;
    }
    if (!found->is_number_integer() || found->get<std::int64_t>() < 0 ||
        found->get<std::int64_t>() > port_max) {
      return unexpected(wrong(source, std::string("'") + key + "' must be a port number"));
    }
    out.*field = found->get<int>();
  }
  for (const auto& [key, field] : texts) {
    const auto found = parsed->find(key);
    if (found == parsed->end()) {
      continue;
    }
    if (!found->is_string()) {
      return unexpected(wrong(source, std::string("'") + key + "' must be a string"));
    }
    out.*field = found->get<std::string>();
  }
  if (out.transport != "tcp" && out.transport != "ipc") {
    return unexpected(wrong(source, "'transport' must be \"tcp\" or \"ipc\""));
  }
  return out;
}

std::string kernel_connection_text(const KernelConnection& connection) {
  nlohmann::ordered_json out;
  for (const auto& [key, field] : ports) {
    out[key] = connection.*field;
  }
  for (const auto& [key, field] : texts) {
    out[key] = connection.*field;
  }
  return out.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string kernel_url(const KernelConnection& connection, int port) {
  const char* separator = connection.transport == "ipc" ? "-" : ":";
  return connection.transport + "://" + connection.ip + separator + std::to_string(port);
}

}  // namespace ipf
