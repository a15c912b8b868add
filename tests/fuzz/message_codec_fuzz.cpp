// Bytes from the wire: split, verify, read. The input is one message, its frames separated by 0x1e.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "core/check.hpp"
#include "protocol/header_reader.hpp"
#include "protocol/json_text.hpp"
#include "protocol/message.hpp"

namespace {

using ipf::Message;

ipf::Frames frames_of(std::string_view input) {
  ipf::FramesBuilder builder;
  while (true) {
    const std::size_t end = input.find('\x1e');
    builder.add(input.substr(0, end));
    if (end == std::string_view::npos) {
      return builder.finish();
    }
    input.remove_prefix(end + 1);
  }
}

/// The same message with a signature that is right.
ipf::Frames signed_anew(const Message& message, const ipf::Signer& signer) {
  ipf::FramesBuilder builder;
  for (std::size_t i = 0; i <= message.identity_count(); ++i) {
    builder.add(message.frames()[i]);
  }
  builder.add(signer.sign(message.signed_parts()));
  builder.add_from(message.frames(), message.identity_count() + 2);
  return builder.finish();
}

/// Where the strict parser understands the text as well, both must see the same msg_id.
void compare(const ipf::Result<ipf::HeaderView>& fast, std::string_view text) {
  if (!fast) {
    return;
  }
  IPF_CHECK(!fast->msg_id.empty() && fast->msg_id.size() <= 1024 && !fast->msg_type.empty());
  if (const auto strict = ipf::parse_json_object(text, "header")) {
    IPF_CHECK(ipf::string_or(*strict, "msg_id") == fast->msg_id);
    IPF_CHECK(ipf::string_or(*strict, "msg_type") == fast->msg_type);
    IPF_CHECK(ipf::string_or(*strict, "session") == fast->session);
  }
}

void read_all(ipf::HeaderReader& reader, const Message& message) {
  compare(reader.read_header(message), message.header());
  compare(reader.read_parent(message), message.parent());
  if (const auto options = reader.read_task_options(message)) {
    IPF_CHECK(options->retries >= 0 && options->timeout_seconds >= 0 &&
              options->timeout_seconds <= 1e9);
  }
  static_cast<void>(reader.read_reply_metadata(message));
  static_cast<void>(ipf::parse_json(message.content()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {  // NOLINT
  static const ipf::Signer signer = std::move(*ipf::Signer::create("key"));
  static ipf::HeaderReader reader;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto message = Message::split(frames_of(input));
  if (!message) {
    return 0;
  }
  IPF_CHECK(message->frames()[message->identity_count()] == ipf::delimiter);
  IPF_CHECK(message->frames().size() >= message->identity_count() + 6);
  IPF_CHECK(!ipf::verify_message(message->frames(), signer) ||
            message->signature() == signer.sign(message->signed_parts()));
  ipf::ReplayGuard guard(4);
  const auto frames = signed_anew(*message, signer);
  if (const auto accepted = ipf::accept_message(frames, signer, guard)) {
    IPF_CHECK(ipf::accept_message(frames, signer, guard).error().code == ipf::ErrorCode::replayed);
    read_all(reader, *accepted);
  }
  return 0;
}
