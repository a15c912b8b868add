#include <cstdio>
#include <cstring>
#include <string>
#include <variant>
#include <vector>

#include "engine/engine.hpp"
#include "engine/engine_options.hpp"
#ifdef IPF_EMBEDS_PYTHON
#include "engine/python_runtime.hpp"
#endif

extern "C" char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to us

int main(int argc, char** argv) {
  ipf::engine::ProcessStart start{.arguments = {argv + 1, argv + argc}, .environment = {}};
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
  return ipf::engine::run_engine(std::get<ipf::engine::EngineOptions>(std::move(parsed)), start,
                                 embedded);
}
