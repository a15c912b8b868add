#include "client/request_writer.hpp"

#include <unistd.h>

#include "protocol/json_text.hpp"
#include "protocol/message.hpp"

namespace ipf::client {

RequestWriter::RequestWriter(const std::string& session,
                             const std::string& username,
                             const Signer& signer)
    : msg_id_prefix_(session + "_" + std::to_string(getpid()) + "_"), signer_(signer) {
  header_tail_ = "\", \"username\": ";
  append_json_string(header_tail_, username);
  header_tail_ += ", \"session\": ";
  append_json_string(header_tail_, session);
  header_tail_ += ", \"date\": \"";
}

Frames RequestWriter::write(const NewRequest& request, WallTime now) {
  header_ = "{\"msg_id\": \"";
  header_ += msg_id_prefix_;
  header_ += std::to_string(request.number);
  header_ += "\", \"msg_type\": \"";
  header_ += request.type;
  header_ += header_tail_;
  append_iso(header_, now);
  header_ += "\", \"version\": \"5.4\"}";

  if (!request.target.empty()) {
    builder_.add(request.target);
  }
  builder_.add(delimiter);
  builder_.add(signer_.sign({.header = header_,
                             .parent = "{}",
                             .metadata = request.metadata,
                             .content = request.content}));
  builder_.add(header_);
  builder_.add("{}");
  builder_.add(request.metadata);
  builder_.add(request.content);
  builder_.add_from(request.buffers, 0);
  return builder_.finish();
}

}  // namespace ipf::client
