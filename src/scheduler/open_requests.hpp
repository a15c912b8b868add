#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "protocol/message.hpp"

namespace ipf {

/// Which direct requests are unanswered, and at which engine: so that an engine can answer only
/// what it was asked, once, and that requests do not pile up without end before an engine that
/// takes none. Pure; one thread.
///
/// A msg_id is kept as a hash of 64 bits. All calls are O(1), but forget() costs O(its requests).
///
/// Invariants: each open request is in the list of one engine; the bounds hold; bytes() is the sum.
class OpenRequests {
 public:
  struct Options {
    std::size_t count_max{1'000'000};
    std::size_t bytes_max{std::size_t{4} << 30U};
  };
  enum class Opened { yes, is_open, no_room };

  explicit OpenRequests(const Options& options) : options_(options) {}
  OpenRequests() : OpenRequests(Options{}) {}
  OpenRequests(const OpenRequests&) = delete;
  OpenRequests& operator=(const OpenRequests&) = delete;

  Opened open(std::string_view msg_id,
              std::string_view engine,
              std::size_t bytes,
              std::optional<Message> request = {});
  /// True when this engine had the request; it has been answered then.
  bool close(std::string_view msg_id, std::string_view engine);
  /// What this engine has not answered.
  [[nodiscard]] std::vector<Message> of(std::string_view engine) const;
  /// Whether any engine has it.
  [[nodiscard]] bool is_open(std::string_view msg_id) const;
  /// The engine is gone for good.
  void forget(std::string_view engine);

  [[nodiscard]] std::size_t count() const { return requests_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void check_invariants() const;

 private:
  struct Request;
  struct Engine {
    Request* first{nullptr};
  };
  struct Request {
    Engine* engine{nullptr};
    std::size_t bytes{};
    std::uint64_t key{};
    Request* previous{nullptr};
    Request* next{nullptr};
    std::optional<Message> message{};
  };
  struct TextHash {
    using is_transparent = void;  // NOLINT(readability-identifier-naming): the name is std's
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>{}(text);
    }
  };

  void remove(std::unordered_map<std::uint64_t, Request>::iterator at);

  const Options options_;
  std::unordered_map<std::uint64_t, Request> requests_;
  std::unordered_map<std::string, Engine, TextHash, std::equal_to<>> engines_;
  std::size_t bytes_{};
};

}  // namespace ipf
