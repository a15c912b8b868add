#include "controller/coalesced_leg.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace ipf {

std::optional<CoalescedLeg> CoalescedLeg::read(const Message& output) {
  if (output.parent().find(coalesced_key) == std::string_view::npos) {
    return std::nullopt;  // nearly all outputs end here, unparsed
  }
  auto header = parse_json_object(output.parent(), "parent header");
  if (!header) {
    return std::nullopt;
  }
  const std::string mark = string_or(*header, std::string(coalesced_key).c_str());
  CoalescedLeg out{.msg_id = mark.substr(std::min(mark.size(), mark.find(' ') + 1)),
                   .leg_msg_id = string_or(*header, "msg_id"),
                   .legs = 0,
                   .header = {}};
  const auto read = std::from_chars(mark.data(), mark.data() + mark.size(), out.legs);
  if (read.ec != std::errc{} || *read.ptr != ' ') {
    return std::nullopt;
  }
  if (out.msg_id.empty() || !out.leg_msg_id.starts_with(out.msg_id + "_")) {
    return std::nullopt;
  }
  out.header = std::move(*header);
  return out;
}

std::string CoalescedLeg::mark(std::string_view msg_id, std::size_t legs) {
  return std::to_string(legs) + " " + std::string(msg_id);
}

std::string CoalescedLeg::call_header() const {
  Json out = header;
  out.erase(coalesced_key);
  out["msg_id"] = msg_id;
  return dump_json(out);
}

}  // namespace ipf
