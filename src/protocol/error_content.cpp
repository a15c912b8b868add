#include "protocol/error_content.hpp"

#include "protocol/json_text.hpp"

namespace ipf {

std::string error_content(const RemoteFailure& failure) {
  return dump_json({{"status", "error"},
                    {"traceback", Json::array({failure.ename + ": " + failure.evalue})},
                    {"ename", failure.ename},
                    {"evalue", failure.evalue},
                    {"engine_info", Json::object()}});
}

RemoteFailure key_error(std::string_view text) {
  const char quote = text.find('\'') == std::string_view::npos ? '\'' : '"';
  return {.ename = "KeyError", .evalue = quote + std::string(text) + quote};
}

}  // namespace ipf
