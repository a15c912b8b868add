#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "apps/configuration.hpp"
#include "apps/options.hpp"
#include "engine/engine.hpp"
#include "engine/engine_options.hpp"
#include "engine/split_tunnel.hpp"
#include "net/log_spdlog.hpp"
#ifdef IPF_EMBEDS_PYTHON
#include "engine/python_runtime.hpp"
#endif

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to us

namespace {

/// What the engine's own parser takes: IPEngine.*, and what it hands to IPython.
bool engine_knows(const std::string& option) {
  for (const char* other : {"--EngineFactory.", "--IPEngineApp.", "--MPI.", "--BaseParallelApp",
                            "--BaseIPython", "--Application.", "--IPEngine.curve_", "--help-all",
                            "--show-config", "--log-url", "--clean-logs"}) {
    if (option.starts_with(other)) {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  auto configured = ipf::configure("ipengine", {argv + 1, argv + argc}, &engine_knows);
  if (const int* const status = std::get_if<int>(&configured)) {
    return *status;
  }
  ipf::engine::ProcessStart start{
      .arguments = std::move(std::get<ipf::Configured>(configured).arguments), .environment = {}};
  start.arguments.insert(start.arguments.begin(), "--no-config");  // for the engine of this nanny
  for (char* const* entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    start.environment.emplace_back(*entry);
  }
  auto parsed = ipf::engine::parse_engine_options(start.arguments);
  for (int i = 1; i < argc; ++i) {
    // A key on the command line is bad enough; at least ps shows it for a moment only.
    constexpr const char* key_option = "--Session.key=";
    if (std::strncmp(argv[i], key_option, std::strlen(key_option)) == 0) {
      char* const key = argv[i] + std::strlen(key_option);
      std::memset(key, 'x', std::strlen(key));
    }
  }
  if (const auto* end = std::get_if<ipf::engine::EndNow>(&parsed)) {
    const bool good = end->status == 0;
    std::fputs(end->text.c_str(), good ? stdout : stderr);
    if (!good) {
      std::fputc('\n', stderr);
    }
    return end->status;
  }
#ifdef IPF_EMBEDS_PYTHON
  const auto* const embedded = &ipf::engine::python_runtime();
#else
  const ipf::engine::PythonRuntime* const embedded = nullptr;
#endif
  auto& options = std::get<ipf::engine::EngineOptions>(parsed);
  if (!options.ssh_server.empty() || !options.ssh_key.empty()) {
    const auto log = ipf::make_log({.name = "IPEngine"});
    auto tunnel = ipf::engine::split_tunnel(options, **log);
    if (!tunnel) {
      return ipf::complain("ipengine", tunnel.error());
    }
    options.tunnel = std::move(*tunnel);
    start.environment.push_back("IPF_SSH_TUNNEL=" + options.tunnel);
  }
  return ipf::engine::run_engine(options, start, embedded);
}
