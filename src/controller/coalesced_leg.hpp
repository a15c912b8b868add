#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/json_text.hpp"
#include "protocol/message.hpp"

namespace ipf {

/// The mark in the header of each leg of a coalescing broadcast, `{"msg_id": <of the call>, "legs":
/// <how many>}`. Engines echo it in the parent header of all outputs, so the relay knows whose
/// these are without a table that two threads would share. It is signed like the rest of the
/// header.
inline constexpr std::string_view coalesced_key = "ipf_coalesced";

/// An output's parent header, if it is a leg of a coalescing broadcast.
struct CoalescedLeg {
  std::string msg_id{};  ///< of the call
  std::string leg_msg_id{};
  std::size_t legs{};
  Json header{};  ///< of the leg

  static std::optional<CoalescedLeg> read(const Message& output);
  static std::string mark(std::string_view msg_id, std::size_t legs);
  /// The header that the client gave to the call, as JSON text.
  [[nodiscard]] std::string call_header() const;
};

}  // namespace ipf
