#include "controller/curve_keys.hpp"

#include <string>
#include <sys/stat.h>
#include <utility>

#include "protocol/connection_file.hpp"

namespace ipf {

namespace {

constexpr std::size_t key_file_bytes_max = 100;

Result<CurveKeyPair> read_pair(const std::filesystem::path& path) {
  auto text = read_text_file(path, key_file_bytes_max);
  if (!text) {
    return unexpected(text.error());
  }
  struct stat facts{};
  if (stat(path.c_str(), &facts) != 0 || (facts.st_mode & 077U) != 0) {
    return unexpected(ErrorCode::permission, "others may read the secret key in " + path.string() +
                                                 ": remove it, and a new one is made");
  }
  while (text->ends_with('\n')) {
    text->pop_back();
  }
  auto pair = complete_pair({.public_key = {}, .secret_key = std::move(*text)});
  return pair ? std::move(pair)
              : unexpected(ErrorCode::malformed, path.string() + ": " + pair.error().message);
}

}  // namespace

Result<CurveKeyPair> controller_curve_keys(const ControllerOptions& options) {
  if (!options.curve_keys.secret_key.empty()) {
    return complete_pair(options.curve_keys);
  }
  if (!options.reuse && !options.restore) {
    return make_curve_key_pair();
  }
  const auto path =
      options.paths.security() / ("ipcontroller" + options.paths.dashed_id() + "-curve.key");
  if (!options.new_keys) {
    auto kept = read_pair(path);
    if (kept || kept.error().code != ErrorCode::not_found) {
      return kept;
    }
  }
  auto made = make_curve_key_pair();
  IPF_TRY(write_private_file(path, made.secret_key + "\n"));
  return made;
}

}  // namespace ipf
