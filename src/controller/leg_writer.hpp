#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "controller/coalesced_leg.hpp"
#include "core/result.hpp"
#include "protocol/json_text.hpp"
#include "protocol/message.hpp"
#include "scheduler/broadcast_events.hpp"

namespace ipf {

/// The requests of one broadcast call for its engines (protocol.md 6): the client's request with
/// the msg_id `<msg_id>_<uuid>` and narrowed targets, signed anew.
///
/// prepare() takes the texts apart once; a leg then costs two concatenations and a signature. The
/// header's other bytes stay as the client wrote them. One thread.
class LegWriter {
 public:
  explicit LegWriter(const Signer& signer) : signer_(signer) {}

  /// Fails when the header or the metadata is no JSON object, when the header has not one plain
  /// msg_id, or when there is no room for a leg's. Free of cost for the request it has prepared.
  Result<void> prepare(const Message& request);
  /// The same with the metadata parsed already.
  Result<void> prepare(const Message& request, Json metadata);
  /// Marks the next legs as those of a coalescing call (coalesced_key), or of a plain one (0).
  void set_coalesced(std::size_t legs);

  /// The leg for this engine. It has no identities: the engine answers with the route by which the
  /// request came, and the call knows its client.
  Message write(const BroadcastTarget& target);
  /// The header that write() gave to this engine.
  std::string header(const BroadcastTarget& target);

  static std::string msg_id(std::string_view call, std::string_view uuid) {
    return std::string(call) + "_" + std::string(uuid);
  }

 private:
  void write_header(const BroadcastTarget& target);

  const Signer& signer_;
  std::optional<Message> request_;
  std::string msg_id_;
  std::string header_start_;  ///< up to the end of the client's msg_id, without its closing quote
  std::string header_end_;    ///< from that quote on
  std::string mark_;          ///< what stands for the last brace of header_end_
  std::string metadata_start_;
  std::string header_;
  std::string metadata_;
  FramesBuilder builder_;
};

}  // namespace ipf
