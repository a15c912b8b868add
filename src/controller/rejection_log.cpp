#include "controller/rejection_log.hpp"

namespace ipf {

void RejectionLog::note(TimePoint now,
                        std::string_view what,
                        const Error& error,
                        std::string_view peer) {
  constexpr Duration pause = std::chrono::seconds(10);
  if (error.code == ErrorCode::bad_signature) {
    ++counts_.bad_signatures;
  } else if (error.code == ErrorCode::replayed) {
    ++counts_.replays;
  } else {
    ++counts_.malformed;
  }
  if (now < quiet_until_) {
    ++silent_;
    return;
  }
  std::string line = where_ + "::dropped " + std::string(what);
  if (!peer.empty()) {
    line += " of " + std::string(peer);
  }
  line += ": " + error.message;
  if (silent_ > 0) {
    line += " (and " + std::to_string(silent_) + " more since the last such line)";
  }
  log_.warning(line);
  silent_ = 0;
  quiet_until_ = now + pause;
}

}  // namespace ipf
