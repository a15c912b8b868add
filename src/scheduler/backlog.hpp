#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ipf {

/// Bytes of the requests that have no answer yet, against limits: who has to wait, and whether
/// large buffers should go to disk. Pure; one thread.
///
/// A limit that was reached is over when less than nine tenths of it are used, so that clients are
/// not stopped and let go at each task. Nothing is refused: a client that has to wait is not read
/// from, and the network makes it wait.
///
/// Invariant: all() is the sum of the clients' bytes; only clients with bytes are remembered.
class Backlog {
 public:
  struct Limits {
    std::size_t spill_above{std::size_t{1} << 30U};  ///< then large buffers go to disk
    std::size_t client_max{std::size_t{16} << 30U};  ///< of one client
    std::size_t all_max{std::size_t{64} << 30U};
  };
  /// A client that has to wait from now on, or may go on.
  struct Change {
    std::string client{};
    bool stop{false};
    bool operator==(const Change&) const = default;
  };

  explicit Backlog(const Limits& limits) : limits_(limits) {}

  void add(std::string_view client, std::size_t bytes);
  void remove(std::string_view client, std::size_t bytes);

  [[nodiscard]] bool spills() const { return all_ > limits_.spill_above; }
  /// All clients have to wait.
  [[nodiscard]] bool full() const { return full_; }
  /// Since it was asked last.
  std::vector<Change> take_changes();
  [[nodiscard]] std::size_t all() const { return all_; }
  void check_invariants() const;

 private:
  struct Client {
    std::size_t bytes{};
    bool stopped{false};
  };
  static bool is_over(std::size_t bytes, std::size_t limit) { return bytes < limit / 10 * 9; }

  Limits limits_;
  std::unordered_map<std::string, Client> clients_;
  std::vector<Change> changes_;
  std::size_t all_{};
  bool full_{false};
};

}  // namespace ipf
