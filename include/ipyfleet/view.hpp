#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipyfleet/call.hpp"
#include "ipyfleet/future.hpp"
#include "ipyfleet/types.hpp"

/// Views: what calls are sent through. Cheap to copy, usable from any thread as long as the client
/// lives; after that calls throw ClientError(closed). Calls throw
///   ClientError(invalid_argument)  an engine that is not registered, options out of range
///   ClientError(too_many)          ClientLimits::outstanding_max
///   ConversionError                an argument that cannot be sent
/// and everything that goes wrong later comes out of the Future.
namespace ipf {

namespace client {
class Core;
}

/// Options of load-balanced tasks.
struct BalancedOptions {
  std::vector<std::string> after{};      ///< msg_ids that have to have succeeded before
  std::vector<std::string> follow{};     ///< runs where these ran; they have to have succeeded
  std::vector<int> targets{};            ///< ids of the engines that may run it; empty means any
  int retries{0};                        ///< on other engines, from 0
  Timeout timeout{Timeout::zero()};      ///< for its dependencies; zero means for ever
  Timeout run_timeout{Timeout::zero()};  ///< the engine is interrupted then; zero means never
  int priority{0};                       ///< within 1,000,000 of 0; higher runs earlier
  std::string label{};                   ///< shown by queries
};

namespace detail {

/// What the templates of views stand on.
class Sender {
 public:
  explicit Sender(std::weak_ptr<client::Core> core) : core_(std::move(core)) {}

  [[nodiscard]] Request call(const std::string& engine_uuid, const Call& call) const;
  [[nodiscard]] Request execute(const std::string& engine_uuid,
                                std::string_view code,
                                bool silent) const;
  [[nodiscard]] Request task(const BalancedOptions& options, const Call& call) const;
  [[nodiscard]] std::vector<Request> broadcast(const std::vector<EngineInfo>& engines,
                                               const Call& call) const;
  [[nodiscard]] std::vector<Request> broadcast_execute(const std::vector<EngineInfo>& engines,
                                                       std::string_view code,
                                                       bool silent) const;

 private:
  std::weak_ptr<client::Core> core_;
};

/// `name` has to be an identifier: anything else throws ClientError(invalid_argument).
Call push_call(std::vector<std::pair<std::string, Value>> names);
Call pull_call(std::string_view expression);
Call map_call(const Function& function, std::vector<Value> chunk);
/// Parts of a list or of the rows of an array, as even as can be, larger ones first.
std::vector<Value> partition(const Value& sequence, std::size_t parts);
/// The parts of gather() behind one another: arrays as an array, anything else as a list.
Value join(std::span<const Value> parts);

template <std::ranges::input_range Range>
std::vector<Value> to_values(const Range& range) {
  std::vector<Value> out;
  for (const auto& item : range) {
    out.emplace_back(item);
  }
  return out;
}

}  // namespace detail

/// One engine. Calls run there one after the other.
class EngineView {
 public:
  EngineView(detail::Sender sender, EngineInfo engine)
      : sender_(std::move(sender)), engine_(std::move(engine)) {}

  [[nodiscard]] const EngineInfo& engine() const { return engine_; }

  /// Calls a function; R is what its result becomes (Value: whatever it is; void: not looked at).
  template <class R = Value, class... A>
  Future<R> apply(Function function, const A&... arguments) const {
    return detail::future_of<R>(
        sender_.call(engine_.uuid, Call::of(std::move(function), arguments...)));
  }
  template <class R = Value>
  Future<R> apply(const Call& call) const {
    return detail::future_of<R>(sender_.call(engine_.uuid, call));
  }
  /// Runs source text as at the prompt. Ready when its output has come as well.
  [[nodiscard]] Future<Executed> execute(std::string_view code, bool silent = false) const {
    return detail::future_of<Executed>(sender_.execute(engine_.uuid, code, silent), true);
  }
  /// Sets a variable in the engine's namespace.
  template <class T>
  Future<void> push(std::string name, const T& value) const {
    return detail::future_of<void>(
        sender_.call(engine_.uuid, detail::push_call({{std::move(name), Value(value)}})));
  }
  /// The value of a name, or of any expression, in the engine's namespace.
  template <class R = Value>
  [[nodiscard]] Future<R> pull(std::string_view expression) const {
    return detail::future_of<R>(sender_.call(engine_.uuid, detail::pull_call(expression)));
  }

 private:
  detail::Sender sender_;
  EngineInfo engine_;
};

/// Several engines: each call goes to all of them, and its results come in the order of engines().
/// One that fails makes get() throw CompositeError, after all have answered.
///
/// A broadcast view does the same by way of the broadcast scheduler: one message for all.
class DirectView {
 public:
  enum class Way { direct, broadcast };

  DirectView(detail::Sender sender, std::vector<EngineInfo> engines, Way way)
      : sender_(std::move(sender)), engines_(std::move(engines)), way_(way) {}

  [[nodiscard]] const std::vector<EngineInfo>& engines() const { return engines_; }

  template <class R = Value, class... A>
  auto apply(Function function, const A&... arguments) const {
    return detail::future_of_each<R>(send(Call::of(std::move(function), arguments...)));
  }
  [[nodiscard]] Future<std::vector<Executed>> execute(std::string_view code,
                                                      bool silent = false) const;
  template <class T>
  Future<void> push(std::string name, const T& value) const {
    return detail::future_of_each<void>(send(detail::push_call({{std::move(name), Value(value)}})));
  }
  template <class R = Value>
  [[nodiscard]] Future<std::vector<R>> pull(std::string_view expression) const {
    return detail::future_of_each<R>(send(detail::pull_call(expression)));
  }
  /// Gives each engine its part of a list or of the rows of an array under this name. The parts
  /// share the memory of an array.
  template <class T>
  Future<void> scatter(const std::string& name, const T& sequence) const {
    return detail::future_of_each<void>(scatter_value(name, Value(sequence)));
  }
  /// The parts behind one another: a list, or an array if all of them are arrays.
  template <class R = Value>
  [[nodiscard]] Future<R> gather(std::string_view name) const {
    return {
        send(detail::pull_call(name)), [](std::span<const Request> requests) {
          return detail::join(detail::read_each(requests, &detail::read_value)).template as<R>();
        }};
  }
  /// function(item) for each item, each engine an even share of them.
  template <class R = Value, std::ranges::input_range Range>
  Future<std::vector<R>> map(const Function& function, const Range& range) const {
    return detail::future_of_chunks<R>(map_values(function, detail::to_values(range)));
  }

 private:
  [[nodiscard]] std::vector<Request> send(const Call& call) const;
  [[nodiscard]] std::vector<Request> scatter_value(const std::string& name,
                                                   const Value& sequence) const;
  [[nodiscard]] std::vector<Request> map_values(const Function& function,
                                                std::vector<Value> items) const;

  detail::Sender sender_;
  std::vector<EngineInfo> engines_;
  Way way_;
};

/// The task scheduler, which gives each call to an engine that has time for it.
class BalancedView {
 public:
  BalancedView(detail::Sender sender, BalancedOptions options)
      : sender_(std::move(sender)), options_(std::move(options)) {}

  [[nodiscard]] const BalancedOptions& options() const { return options_; }
  /// The same view with other options.
  [[nodiscard]] BalancedView with(BalancedOptions options) const {
    return {sender_, std::move(options)};
  }

  template <class R = Value, class... A>
  Future<R> apply(Function function, const A&... arguments) const {
    return detail::future_of<R>(
        sender_.task(options_, Call::of(std::move(function), arguments...)));
  }
  template <class R = Value>
  Future<R> apply(const Call& call) const {
    return detail::future_of<R>(sender_.task(options_, call));
  }
  /// function(item) for each item, in tasks of `chunksize` items; results in the order of the
  /// range. Throws ClientError(invalid_argument) for a chunksize of 0.
  template <class R = Value, std::ranges::input_range Range>
  Future<std::vector<R>> map(const Function& function,
                             const Range& range,
                             std::size_t chunksize = 1) const {
    return detail::future_of_chunks<R>(map_values(function, detail::to_values(range), chunksize));
  }

 private:
  [[nodiscard]] std::vector<Request> map_values(const Function& function,
                                                std::vector<Value> items,
                                                std::size_t chunksize) const;

  detail::Sender sender_;
  BalancedOptions options_;
};

}  // namespace ipf
