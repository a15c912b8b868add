#include "controller/leg_writer.hpp"

#include <optional>
#include <utility>

#include "core/check.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

/// A uuid (255 bytes at most, being a routing identity), and the mark with the msg_id once more.
constexpr std::size_t room_for_leg = 8192;

/// Behind the closing quote of the string that begins at `at`.
std::size_t string_end(std::string_view text, std::size_t at) {
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/// Where the closing quote of the msg_id is, in the text of a valid JSON object. Nothing if there
/// is not exactly one such key, or it is hidden by an escape: readers might then take different
/// ones.
std::optional<std::size_t> find_msg_id_end(std::string_view text) {
  std::optional<std::size_t> found;
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    depth += c == '{' || c == '[' ? 1 : 0;
    depth -= c == '}' || c == ']' ? 1 : 0;
    if (c != '"') {
      ++i;
      continue;
    }
    const std::size_t end = string_end(text, i);
    const std::string_view string = text.substr(i + 1, end - i - 2);
    i = end;
    while (i < text.size() && is_space(text[i])) {
      ++i;
    }
    if (depth != 1 || i >= text.size() || text[i] != ':') {
      continue;
    }
    if (string.find('\\') != std::string_view::npos || (string == "msg_id" && found)) {
      return std::nullopt;
    }
    if (string == "msg_id") {
      const std::size_t value = text.find_first_not_of(" \t\r\n", i + 1);
      if (value == std::string_view::npos || text[value] != '"') {
        return std::nullopt;
      }
      i = string_end(text, value);
      found = i - 1;
    }
  }
  return found;
}

}  // namespace

Result<void> LegWriter::prepare(const Message& request) {
  if (request_ && request_->header().data() == request.header().data()) {
    return {};
  }
  auto metadata = parse_json_object(request.metadata(), "metadata");
  if (!metadata) {
    return unexpected(metadata.error());
  }
  return prepare(request, std::move(*metadata));
}

Result<void> LegWriter::prepare(const Message& request, Json metadata) {
  request_.reset();
  const std::string_view text = request.header();
  const auto header = parse_json_object(text, "header");
  if (!header) {
    return unexpected(header.error());
  }
  const auto msg_id_end = find_msg_id_end(text);
  if (!msg_id_end) {
    return unexpected(ErrorCode::malformed, "header has not exactly one plain msg_id");
  }
  if (text.size() + room_for_leg > header_bytes_max) {
    return unexpected(ErrorCode::too_large, "header leaves no room for the engines' uuids");
  }
  request_ = request;
  msg_id_ = string_or(*header, "msg_id");
  header_start_ = text.substr(0, *msg_id_end);
  header_start_ += '_';
  header_end_ = text.substr(*msg_id_end);
  header_end_.resize(header_end_.rfind('}'));
  metadata.erase("targets");
  metadata["original_msg_id"] = msg_id_;
  metadata_start_ = dump_json(metadata);
  metadata_start_.pop_back();
  metadata_start_ += ", \"targets\": [[";
  set_coalesced(0);
  return {};
}

void LegWriter::set_coalesced(std::size_t legs) {
  mark_.clear();
  if (legs > 0) {
    mark_ = ", \"" + std::string(coalesced_key) + "\": ";
    append_json_string(mark_, CoalescedLeg::mark(msg_id_, legs));
  }
  mark_ += '}';
}

void LegWriter::write_header(const BroadcastTarget& target) {
  header_ = header_start_;
  append_json_string(header_, target.uuid);
  header_.erase(header_start_.size(), 1);  // the uuid goes on inside the string of the msg_id
  header_.pop_back();
  header_ += header_end_;
  header_ += mark_;
}

std::string LegWriter::header(const BroadcastTarget& target) {
  write_header(target);
  return header_;
}

Message LegWriter::write(const BroadcastTarget& target) {
  IPF_CHECK(request_.has_value());
  write_header(target);
  metadata_ = metadata_start_;
  append_json_string(metadata_, target.uuid);
  metadata_ += ", ";
  metadata_ += std::to_string(target.id.value);
  metadata_ += "]]}";
  builder_.add(delimiter);
  builder_.add(signer_.sign({.header = header_,
                             .parent = request_->parent(),
                             .metadata = metadata_,
                             .content = request_->content()}));
  builder_.add(header_);
  builder_.add(request_->parent());
  builder_.add(metadata_);
  builder_.add_from(request_->frames(), request_->identity_count() + 5);
  auto leg = Message::split(builder_.finish());
  IPF_CHECK(leg);
  return std::move(*leg);
}

}  // namespace ipf
