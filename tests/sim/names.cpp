#include "sim/names.hpp"

#include <charconv>
#include <utility>

#include "core/check.hpp"

namespace ipf::sim {

namespace {

constexpr std::string_view task_prefix = "5f1d8c2e-0a9b7c6d5e4f_";
constexpr std::string_view engine_prefix = "e7c1a2b3-4d5e6f708192_";

std::uint32_t number_behind(std::string_view prefix, std::string_view name) {
  if (!name.starts_with(prefix)) {
    return none;
  }
  std::uint32_t number = none;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + prefix.size(), end, number);
  return read.ptr == end ? number : none;
}

Message finish(FramesBuilder& builder) {
  auto message = Message::split(builder.finish());
  IPF_CHECK(message);
  return std::move(*message);
}

}  // namespace

std::string task_name(std::uint32_t task) {
  return std::string(task_prefix) + std::to_string(task);
}

std::string engine_name(std::uint32_t engine) {
  return std::string(engine_prefix) + std::to_string(engine);
}

std::uint32_t task_number(std::string_view name) {
  return number_behind(task_prefix, name);
}

std::uint32_t engine_number(std::string_view name) {
  return number_behind(engine_prefix, name);
}

Message request_message(std::uint32_t task, std::uint32_t client, WallTime wall) {
  std::string header = R"({"msg_id": ")" + task_name(task) + R"(", "date": ")";
  append_iso(header, wall);
  header += R"("})";
  FramesBuilder builder;
  builder.add("client-" + std::to_string(client));
  builder.add(delimiter);
  for (const std::string_view frame :
       {std::string_view(), std::string_view(header), std::string_view("{}"),
        std::string_view("{}"), std::string_view("{}")}) {
    builder.add(frame);
  }
  return finish(builder);
}

std::string result_text(std::uint32_t task, std::uint32_t engine) {
  return std::to_string(task) + " by " + std::to_string(engine);
}

Message reply_message(std::uint32_t task, std::uint32_t client, std::uint32_t engine) {
  FramesBuilder builder;
  builder.add(engine_name(engine));
  builder.add("client-" + std::to_string(client));
  builder.add(delimiter);
  for (int i = 0; i < 5; ++i) {
    builder.add(i == 0 ? std::string_view() : std::string_view("{}"));
  }
  builder.add(result_text(task, engine));
  return finish(builder);
}

Message hub_message(std::string_view identity) {
  FramesBuilder builder;
  builder.add(identity);
  builder.add(delimiter);
  for (int i = 0; i < 5; ++i) {
    builder.add(i == 0 ? std::string_view() : std::string_view("{}"));
  }
  return finish(builder);
}

}  // namespace ipf::sim
