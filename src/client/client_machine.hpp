#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

#include "client/client_events.hpp"
#include "core/clock.hpp"

namespace ipf::client {

struct ClientMachineOptions {
  std::string msg_id_prefix{};  ///< what stands before the number in our msg_ids
  std::size_t output_bytes_max{64UL << 20U};
  std::size_t open_outputs_max{100'000};
  /// How long output of a lost engine, already in the network, may still arrive.
  Duration lost_output_grace{std::chrono::milliseconds(500)};
  /// How long output may come after the reply to a request that was sent before any output was
  /// heard. The subscription may have taken effect after the end of its output was published.
  Duration first_output_grace{std::chrono::seconds(5)};
  /// How long replies may still arrive after the hub announced that it exits.
  Duration shutdown_grace{std::chrono::milliseconds(500)};
  /// How long the hub may be out of reach before everything outstanding fails.
  Duration hub_patience{std::chrono::seconds(60)};
  /// Time for engines to register with a hub that has come back, before they count as lost.
  Duration engine_return{std::chrono::seconds(8)};
};

/// Keeps track of a client's requests and of the engines. Pure: no socket, clock or thread.
///
/// A request is
///   waiting   sent, no result yet; on mux and control it belongs to the engine it went to
///   open      has its result; its engine has not published the end of its output yet (mux, task)
///   (gone)    has both: nothing is kept of it
/// The end of the output may also come first; the request then stays waiting without open output.
///
/// A direct request ends with EngineError at once when its engine is unregistered; a load-balanced
/// one waits for the task scheduler, which answers in every case. Whatever comes for a request that
/// has its result already is dropped (a late reply of an engine that was given up, say).
///
/// The list of engines comes from notifications. A subscription takes effect some time after the
/// socket is connected, so what happened meanwhile is found by asking the hub again a few times. An
/// engine that is missing in an answer is only lost if it was known when the question was sent.
///
/// When the connection to the hub breaks, questions to it and broadcast calls fail by name: nobody
/// knows whether it got them. Everything else waits, because the hub may come back (its user sends
/// again what has no answer), for `hub_patience` at most. Direct requests wait for their engine,
/// too: it may come back after us.
///
/// Invariants (check_invariants): each request is waiting or has open output; an engine's set holds
/// exactly the requests that name the engine; the number of open outputs is counted right.
class ClientMachine {
 public:
  explicit ClientMachine(ClientMachineOptions options);

  void step(TimePoint now, ClientEvent event, ClientActions& actions);
  [[nodiscard]] TimePoint next_deadline() const;
  void check_invariants() const;

  [[nodiscard]] std::size_t request_count() const { return requests_.size(); }
  [[nodiscard]] std::size_t engine_count() const { return engines_.size(); }
  /// The hub was lost, and has not named this engine since: see SendAgain.
  [[nodiscard]] bool is_away(const std::string& engine_uuid) const;

 private:
  struct EngineState {
    EngineId id{};
    std::uint64_t known_at{};  ///< questions asked before we heard of it
    bool away{false};          ///< the hub was lost, and has not named it since
    std::set<RequestNumber> requests{};
  };
  struct RequestState {
    Channel channel{Channel::query};
    EngineState* engine{};  ///< owned by engines_; nullptr when unknown or lost
    bool waiting{true};
    bool output_open{false};
    bool truncated{false};
    bool early{false};  ///< sent before any output was heard
    std::optional<RequestNumber> broadcast{};
    std::size_t output_bytes{};
  };
  using Requests = std::unordered_map<RequestNumber, RequestState>;
  struct Expiry {
    TimePoint at{};
    RequestNumber number{};
  };

  void on(TimePoint now, Started& event, ClientActions& actions);
  void on(TimePoint now, RequestSubmitted& event, ClientActions& actions);
  void on(TimePoint now, ReplyArrived& event, ClientActions& actions);
  void on(TimePoint now, EnginesListed& event, ClientActions& actions);
  void on(TimePoint now, EngineRegistered& event, ClientActions& actions);
  void on(TimePoint now, EngineUnregistered& event, ClientActions& actions);
  void on(TimePoint now, OutputPublished& event, ClientActions& actions);
  void on(TimePoint now, OutputEnded& event, ClientActions& actions);
  void on(TimePoint now, HubLost& event, ClientActions& actions);
  void on(TimePoint now, HubFound& event, ClientActions& actions);
  void on(TimePoint now, ControllerShutDown& event, ClientActions& actions);
  void on(TimePoint now, TimePassed& event, ClientActions& actions);
  void on(TimePoint now, Closed& event, ClientActions& actions);

  void ask_for_engines(ClientActions& actions);
  bool add_engine(const Engine& engine, ClientActions& actions);
  void lose_engine(TimePoint now, const std::string& uuid, ClientActions& actions);
  void publish_engines(ClientActions& actions) const;
  void attach(RequestNumber number, RequestState& request, EngineState* engine);
  void detach(RequestNumber number, RequestState& request);
  /// The request has its result; forgets it if its output has ended as well.
  void settle(TimePoint now, Requests::iterator found, bool output_follows, ClientActions& actions);
  void keep_open(RequestNumber number, ClientActions& actions);
  void end_output(Requests::iterator found, ClientActions& actions);
  void forget_if_finished(Requests::iterator found);
  /// The output of the request ends at this time, if not before.
  void end_output_at(TimePoint at, RequestNumber number);
  [[nodiscard]] std::string msg_id(RequestNumber number,
                                   const RequestState& request,
                                   const std::string& target) const;

  ClientMachineOptions options_;
  std::unordered_map<std::string, EngineState> engines_;  ///< by uuid
  Requests requests_;
  std::deque<RequestNumber> open_;  ///< in order of their results; some may have ended since
  std::size_t open_count_{};
  std::deque<Expiry> expiries_;  ///< outputs of lost engines, by rising time
  std::uint64_t questions_{};
  std::deque<TimePoint> ask_at_;
  bool listed_{false};
  bool heard_output_{false};
  std::optional<TimePoint> close_at_{};
  std::optional<TimePoint> give_up_at_{};  ///< the hub is out of reach
  TimePoint nobody_lost_until_{};          ///< a list of engines may be incomplete before
  bool closed_{false};
};

}  // namespace ipf::client
