#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "ipyfleet/types.hpp"

/// What the calls of the C++ client throw. ClientError (types.hpp) is about the client itself; the
/// errors here are about one call.
namespace ipf {

/// The call was not finished within the time that the caller allowed. It goes on, and get() may be
/// called again.
class TimeoutError : public ClientError {
 public:
  explicit TimeoutError(const std::string& text) : ClientError(ClientErrorCode::timed_out, text) {}
};

/// A value that cannot become what was asked for: another Python type, a number out of range, a
/// type that has no form in C++ ("unsupported type ...").
class ConversionError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The call failed on an engine, or never got to one; what() is `ename: evalue`.
class RemoteError : public std::runtime_error {
 public:
  struct Fields {
    std::string ename{};   ///< class of the exception: "ZeroDivisionError"; "EngineError" when the
                           ///< engine was lost, "TaskAborted" when the call was aborted
    std::string evalue{};  ///< its text
    std::string
        traceback{};  ///< lines of the traceback on the engine, without colours; may be empty
    std::string engine_uuid{};  ///< empty when no engine had the call
  };
  explicit RemoteError(Fields fields);

  [[nodiscard]] const std::string& ename() const { return fields_.ename; }
  [[nodiscard]] const std::string& evalue() const { return fields_.evalue; }
  [[nodiscard]] const std::string& traceback() const { return fields_.traceback; }
  [[nodiscard]] const std::string& engine_uuid() const { return fields_.engine_uuid; }

 private:
  Fields fields_;
};

/// Some calls of several failed; what() names how many and the first of them.
class CompositeError : public std::runtime_error {
 public:
  /// `errors` must not be empty; `calls` is how many there were, failed or not.
  CompositeError(std::vector<RemoteError> errors, std::size_t calls);

  /// In the order of the calls.
  [[nodiscard]] const std::vector<RemoteError>& errors() const { return errors_; }

 private:
  std::vector<RemoteError> errors_;
};

}  // namespace ipf
