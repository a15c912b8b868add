#pragma once

#include <string>

#include "client/client_events.hpp"
#include "core/clock.hpp"
#include "protocol/frames.hpp"
#include "protocol/signer.hpp"

namespace ipf::client {

/// Makes requests into signed messages whose msg_id ends in the request's number.
///
/// Like Session, but the number is the caller's: it is given out when a request is submitted, on
/// any thread, and callers know the msg_id long before the IO thread builds the message. One
/// thread.
class RequestWriter {
 public:
  /// `signer` must outlive the writer.
  RequestWriter(const std::string& session, const std::string& username, const Signer& signer);

  /// `<session>_<pid>_`, what all our msg_ids begin with.
  [[nodiscard]] const std::string& msg_id_prefix() const { return msg_id_prefix_; }

  /// All frames behind the routing identity; requests on mux and control have their target in
  /// front.
  Frames write(const NewRequest& request, WallTime now);

 private:
  std::string msg_id_prefix_;
  std::string header_tail_;
  const Signer& signer_;
  std::string header_;
  FramesBuilder builder_;
};

}  // namespace ipf::client
