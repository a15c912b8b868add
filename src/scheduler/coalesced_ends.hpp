#pragma once

#include <cstddef>
#include <list>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace ipf {

/// When the outputs of a coalescing broadcast are complete.
///
/// Each engine ends its outputs with `status idle` for its leg, `<msg_id>_<uuid>`; the client waits
/// for an idle of the call, which nobody sends (protocol.md 6.5). This counts the legs' ends; at
/// the last one the relay publishes the idle of the call. A call that an engine died with never
/// gets there, and its client does not wait; it is forgotten when newer ones need its place. Pure;
/// one thread.
class CoalescedEnds {
 public:
  struct Options {
    std::size_t calls_max{4096};
    std::size_t legs_max{200'000};  ///< ends noted, of all calls
  };
  explicit CoalescedEnds(const Options& options) : options_(options) {}
  CoalescedEnds() : CoalescedEnds(Options{}) {}

  /// The outputs of `leg` are complete; `legs` is how many the call has. True at the last one.
  bool leg_ended(const std::string& call, std::size_t legs, const std::string& leg);

  [[nodiscard]] std::size_t open_calls() const { return calls_.size(); }
  [[nodiscard]] std::size_t noted_legs() const { return noted_; }

 private:
  struct Call {
    std::unordered_set<std::string> ended{};
    std::list<std::string>::iterator place{};
  };
  using Calls = std::unordered_map<std::string, Call>;
  void forget(Calls::iterator call);

  const Options options_;
  Calls calls_;
  std::list<std::string> order_;  ///< oldest first
  std::size_t noted_{};
};

}  // namespace ipf
