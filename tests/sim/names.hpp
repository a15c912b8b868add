#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "protocol/message.hpp"

namespace ipf::sim {

/// Tasks, engines and clients are numbers here; the machines get names as long as real ones.
inline constexpr std::uint32_t none = 0xffffffffU;

std::string task_name(std::uint32_t task);
std::string engine_name(std::uint32_t engine);
/// The number in a name made above; `none` if it is no such name.
std::uint32_t task_number(std::string_view name);
std::uint32_t engine_number(std::string_view name);

/// A request as the task queue gets it; small, unsigned, with a header that records can be read
/// from.
Message request_message(std::uint32_t task, std::uint32_t client, WallTime wall);
/// An engine's reply. Its buffer says whose result it is: result_text().
Message reply_message(std::uint32_t task, std::uint32_t client, std::uint32_t engine);
std::string result_text(std::uint32_t task, std::uint32_t engine);
/// A request to the hub; `identity` is its sender.
Message hub_message(std::string_view identity);

}  // namespace ipf::sim
