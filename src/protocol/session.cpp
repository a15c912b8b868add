#include "protocol/session.hpp"

#include <unistd.h>
#include <utility>

#include "protocol/json_text.hpp"
#include "protocol/message.hpp"

namespace ipf {

Session::Session(std::string id, std::string_view username, const Signer& signer)
    : id_(std::move(id)), id_prefix_(id_ + "_" + std::to_string(getpid()) + "_"), signer_(signer) {
  header_tail_ = ", \"username\": ";
  append_json_string(header_tail_, username);
  header_tail_ += ", \"session\": ";
  append_json_string(header_tail_, id_);
  header_tail_ += ", \"date\": \"";
}

void Session::next_header(std::string_view type, WallTime now) {
  last_msg_id_.assign(id_prefix_);
  last_msg_id_ += std::to_string(counter_++);
  header_.assign("{\"msg_id\": ");
  append_json_string(header_, last_msg_id_);
  header_ += ", \"msg_type\": ";
  append_json_string(header_, type);  // it may echo a peer's text
  header_ += header_tail_;
  append_iso(header_, now);
  header_ += "\", \"version\": \"5.4\"}";
}

Frames Session::make(const Outgoing& outgoing, WallTime now) {
  next_header(outgoing.type, now);
  for (const auto identity : outgoing.identities) {
    builder_.add(identity);
  }
  builder_.add(delimiter);
  builder_.add(signer_.sign({.header = header_,
                             .parent = outgoing.parent,
                             .metadata = outgoing.metadata,
                             .content = outgoing.content}));
  builder_.add(header_);
  builder_.add(outgoing.parent);
  builder_.add(outgoing.metadata);
  builder_.add(outgoing.content);
  for (const auto& buffer : outgoing.buffers) {
    builder_.add(buffer);
  }
  return builder_.finish();
}

}  // namespace ipf
