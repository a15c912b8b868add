// What one message costs before anything is decided about it: frames, signature, replay, header.
#include <array>
#include <cstdint>
#include <string>
#include <utility>

#include <benchmark/benchmark.h>

#include "core/clock.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/json_text.hpp"
#include "protocol/message.hpp"
#include "protocol/session.hpp"

namespace {

constexpr const char* key = "761fca17-e3e69a360f7f8ca9e86386d4";
constexpr const char* task_metadata =
    R"({"after": [], "follow": [], "timeout": 0.0, "targets": [], "retries": 0, "label": null})";

ipf::Signer make_signer() {
  return std::move(*ipf::Signer::create(key));
}

/// A no-op task as an ipyparallel client sends it: 8 frames, about 900 bytes.
ipf::Frames task_frames(ipf::Session& session) {
  static const std::string function(320, 'f');
  static const std::string info(90, 'i');
  const std::array<std::string_view, 1> route{"\0\1\2\3\4"};
  const std::array<ipf::SharedBytes, 2> buffers{ipf::SharedBytes{{}, function},
                                                ipf::SharedBytes{{}, info}};
  return session.make(
      {.type = "apply_request", .metadata = task_metadata, .identities = route, .buffers = buffers},
      ipf::WallTime{1'700'000'000'000'000});
}

void make_and_sign_a_task(benchmark::State& state) {
  const auto signer = make_signer();
  ipf::Session session("4af0db32-50a0c18048dd77e493560c8d", "user", signer);
  for ([[maybe_unused]] const auto round : state) {
    benchmark::DoNotOptimize(task_frames(session));
  }
}
BENCHMARK(make_and_sign_a_task);

void sign_500_bytes(benchmark::State& state) {
  const auto signer = make_signer();
  const std::string header(250, 'h');
  const std::string metadata(250, 'm');
  for ([[maybe_unused]] const auto round : state) {
    benchmark::DoNotOptimize(
        signer.sign({.header = header, .parent = {}, .metadata = metadata, .content = {}}));
  }
}
BENCHMARK(sign_500_bytes);

void verify_a_task(benchmark::State& state) {
  const auto signer = make_signer();
  ipf::Session session("4af0db32-50a0c18048dd77e493560c8d", "user", signer);
  const auto frames = task_frames(session);
  for ([[maybe_unused]] const auto round : state) {
    benchmark::DoNotOptimize(ipf::verify_message(frames, signer));
  }
}
BENCHMARK(verify_a_task);

void remember_a_signature(benchmark::State& state) {
  ipf::ReplayGuard guard;
  std::uint64_t counter = 0;
  std::string signature(64, '0');
  for ([[maybe_unused]] const auto round : state) {
    counter += 0x9E3779B97F4A7C15ULL;
    for (std::size_t i = 0; i < 16; ++i) {
      signature[i] = "0123456789abcdef"[(counter >> (4 * i)) & 15U];
    }
    benchmark::DoNotOptimize(guard.first_sight(signature));
  }
}
BENCHMARK(remember_a_signature);

void read_a_header_and_task_options(benchmark::State& state) {
  const auto signer = make_signer();
  ipf::Session session("4af0db32-50a0c18048dd77e493560c8d", "user", signer);
  const auto message = *ipf::Message::split(task_frames(session));
  ipf::HeaderReader reader;
  for ([[maybe_unused]] const auto round : state) {
    benchmark::DoNotOptimize(reader.read_header(message));
    benchmark::DoNotOptimize(reader.read_task_options(message));
  }
}
BENCHMARK(read_a_header_and_task_options);

void parse_the_same_header_into_a_tree(benchmark::State& state) {
  const auto signer = make_signer();
  ipf::Session session("4af0db32-50a0c18048dd77e493560c8d", "user", signer);
  const auto message = *ipf::Message::split(task_frames(session));
  for ([[maybe_unused]] const auto round : state) {
    benchmark::DoNotOptimize(ipf::parse_json_object(message.header(), "header"));
    benchmark::DoNotOptimize(ipf::parse_json_object(message.metadata(), "metadata"));
  }
}
BENCHMARK(parse_the_same_header_into_a_tree);

}  // namespace
