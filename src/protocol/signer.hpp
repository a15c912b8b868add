#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/clock.hpp"
#include "core/result.hpp"

namespace ipf {

/// The four frames that a signature covers, in wire order (protocol.md 3).
struct SignedParts {
  std::string_view header{};
  std::string_view parent{};
  std::string_view metadata{};
  std::string_view content{};
};

/// HMAC over header || parent || metadata || content as lower-case hex.
///
/// The key schedule is computed once; for SHA-256 a signature then costs two copies of a 112-byte
/// state and the hashing itself. An empty key means unsigned: sign() gives "" and verify() accepts
/// an empty signature only. Const methods are safe from several threads.
class Signer {
 public:
  /// `scheme` is "hmac-<digest>", as in the connection file; unknown digests are an error.
  static Result<Signer> create(std::string_view key, std::string_view scheme = "hmac-sha256");

  Signer(Signer&&) noexcept;
  Signer& operator=(Signer&&) noexcept;
  Signer(const Signer&) = delete;
  Signer& operator=(const Signer&) = delete;
  ~Signer();

  /// A key that was in use before: requests with an older date may be replays from that time, which
  /// no history knows, and accept_message() refuses them. To be called before threads start.
  void refuse_before(WallTime time) { not_before_ = time; }
  [[nodiscard]] bool refuses_dates() const { return not_before_.has_value(); }
  [[nodiscard]] WallTime not_before() const { return not_before_.value_or(WallTime{}); }

  [[nodiscard]] bool enabled() const;
  [[nodiscard]] std::string sign(const SignedParts& parts) const;
  /// Compares in constant time; upper-case hex or a cut signature does not verify.
  [[nodiscard]] bool verify(std::string_view signature, const SignedParts& parts) const;

 private:
  struct State;
  explicit Signer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
  std::optional<WallTime> not_before_{};
};

}  // namespace ipf
