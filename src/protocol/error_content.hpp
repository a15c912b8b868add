#pragma once

#include <string>
#include <string_view>

namespace ipf {

/// An error as the hub, the schedulers and the engines' C++ side report it (protocol.md 4.7).
struct RemoteFailure {
  std::string ename{};   ///< class name that the client shows and maps, e.g. "EngineError"
  std::string evalue{};  ///< the sentence for the user
};

/// `{"status": "error", "traceback": [...], "ename": ..., "evalue": ..., "engine_info": {}}`.
/// The empty engine_info tells a client that no output will follow on iopub.
std::string error_content(const RemoteFailure& failure);

/// Text of Python's KeyError: `str(KeyError('x'))` has quotes, and clients may compare it.
RemoteFailure key_error(std::string_view text);

}  // namespace ipf
