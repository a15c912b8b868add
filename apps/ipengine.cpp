#include <cstdio>
#include <string>
#include <variant>
#include <vector>

#include "engine/engine.hpp"
#include "engine/engine_options.hpp"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  auto parsed = ipf::engine::parse_engine_options(arguments);
  if (const auto* end = std::get_if<ipf::engine::EndNow>(&parsed)) {
    const bool good = end->status == 0;
    std::fputs(end->text.c_str(), good ? stdout : stderr);
    if (!good) {
      std::fputc('\n', stderr);
    }
    return end->status;
  }
  return ipf::engine::run_engine(std::get<ipf::engine::EngineOptions>(std::move(parsed)));
}
