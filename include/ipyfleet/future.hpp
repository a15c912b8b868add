#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "ipyfleet/errors.hpp"
#include "ipyfleet/result.hpp"
#include "ipyfleet/types.hpp"
#include "ipyfleet/value.hpp"

namespace ipf {

/// What an engine did with execute().
struct Executed {
  int execution_count{};
  std::string text{};         ///< text/plain of the last expression's value; empty when silent
  std::string stdout_text{};  ///< all of its standard output
  std::string stderr_text{};
};

namespace detail {

/// Throws TimeoutError when not all of them are done in time.
void wait_for(std::span<const Request> requests, bool output, Timeout timeout);
[[nodiscard]] bool all_done(std::span<const Request> requests, bool output);
bool cancel(std::span<const Request> requests, Timeout grace);
void abort(std::span<const Request> requests);
/// Throw RemoteError when the call failed, ClientError when the client was closed meanwhile.
Value read_value(const Request& request);
Executed read_executed(const Request& request);
void read_nothing(const Request& request);

template <class T>
T read_as(const Request& request) {
  if constexpr (std::same_as<T, Executed>) {
    return read_executed(request);
  } else if constexpr (std::is_void_v<T>) {
    read_nothing(request);
  } else {
    return read_value(request).template as<T>();
  }
}

/// Reads each; throws CompositeError when some failed, after it has read all of them.
template <class Read>
auto read_each(std::span<const Request> requests, const Read& read) {
  std::vector<std::invoke_result_t<Read, const Request&>> out;
  std::vector<RemoteError> errors;
  out.reserve(requests.size());
  for (const auto& request : requests) {
    try {
      out.push_back(read(request));
    } catch (const RemoteError& error) {
      errors.push_back(error);
    }
  }
  if (!errors.empty()) {
    throw CompositeError(std::move(errors), requests.size());
  }
  return out;
}

}  // namespace detail

/// A result of type T that will be there later; of one call, or of several taken together.
///
/// A cheap handle that is read as often as wanted, from any thread, also after the client is gone.
/// It does not throw what the call threw before get().
template <class T>
class Future {
 public:
  using Read = std::function<T(std::span<const Request>)>;

  /// @param output  done only when all output has come as well
  Future(std::vector<Request> requests, Read read, bool output = false)
      : requests_(std::move(requests)), read_(std::move(read)), output_(output) {}

  /// The result. Throws
  ///   TimeoutError     it is not there within `timeout`; the call goes on
  ///   RemoteError      the call failed (one call); `TaskCancelled` after cancel()
  ///   CompositeError   some of the calls failed (several)
  ///   ConversionError  the result is no T
  ///   ClientError      the client was closed before the result was there
  T get(Timeout timeout = forever) const {
    detail::wait_for(requests_, output_, timeout);
    return read_(requests_);
  }
  [[nodiscard]] bool ready() const { return detail::all_done(requests_, output_); }
  /// Waits until ready(); false when it is not in time.
  [[nodiscard]] bool wait(Timeout timeout = forever) const {
    try {
      detail::wait_for(requests_, output_, timeout);
      return true;
    } catch (const TimeoutError&) {
      return false;
    }
  }

  /// Stops its calls, also those that run; what they have done so far stays done. What runs is
  /// interrupted (KeyboardInterrupt); an engine where that does not help within `grace` is ended,
  /// and replaced if it has a nanny: its namespace is lost. A negative grace never ends it.
  /// @return whether calls were stopped, or will not run; false if all have ended by themselves, or
  /// some did not let themselves be stopped within `grace` and seven seconds. Afterwards it is
  /// ready, and get() throws. Engines of IPython Parallel only keep back what has not begun.
  bool cancel(Timeout grace = std::chrono::seconds(3)) const {
    return detail::cancel(requests_, grace);
  }
  /// Keeps those of its calls that have not begun from running: they fail with `TaskAborted`. What
  /// runs goes on. Returns when the engines know it, within ten seconds.
  void abort() const { detail::abort(requests_); }

  /// `function(result)`, computed by get() in the thread that calls it.
  template <std::invocable<T> F>
  auto then(F function) const {
    using U = std::invoke_result_t<F, T>;
    return Future<U>(
        requests_,
        [read = read_, function = std::move(function)](std::span<const Request> requests) {
          return function(read(requests));
        },
        output_);
  }

  /// The requests behind it: ids for BalancedOptions::after, output, metadata.
  [[nodiscard]] const std::vector<Request>& requests() const { return requests_; }
  [[nodiscard]] std::vector<std::string> msg_ids() const {
    std::vector<std::string> out;
    out.reserve(requests_.size());
    for (const auto& request : requests_) {
      out.push_back(request.msg_id());
    }
    return out;
  }
  [[nodiscard]] const Read& reader() const { return read_; }
  [[nodiscard]] bool needs_output() const { return output_; }

 private:
  std::vector<Request> requests_;
  Read read_;
  bool output_;
};

/// All of them as one future, in order. get() throws what the first failed one throws.
template <class T>
  requires(!std::is_void_v<T>)
Future<std::vector<T>> when_all(std::span<const Future<T>> futures) {
  std::vector<Request> requests;
  std::vector<std::pair<std::size_t, typename Future<T>::Read>> readers;
  bool output = false;
  for (const auto& future : futures) {
    requests.insert(requests.end(), future.requests().begin(), future.requests().end());
    readers.emplace_back(future.requests().size(), future.reader());
    output = output || future.needs_output();
  }
  return {std::move(requests),
          [readers = std::move(readers)](std::span<const Request> all) {
            std::vector<T> out;
            out.reserve(readers.size());
            for (const auto& [count, read] : readers) {
              out.push_back(read(all.first(count)));
              all = all.subspan(count);
            }
            return out;
          },
          output};
}
template <class T>
Future<std::vector<T>> when_all(const std::vector<Future<T>>& futures) {
  return when_all(std::span<const Future<T>>(futures));
}

namespace detail {

template <class T>
Future<T> future_of(Request request, bool output = false) {
  return {{std::move(request)},
          [](std::span<const Request> requests) { return read_as<T>(requests.front()); },
          output};
}

template <class T>
auto future_of_each(std::vector<Request> requests, bool output = false) {
  if constexpr (std::is_void_v<T>) {
    return Future<void>(
        std::move(requests),
        [](std::span<const Request> all) {
          static_cast<void>(read_each(all, [](const Request& request) {
            read_nothing(request);
            return 0;
          }));
        },
        output);
  } else {
    return Future<std::vector<T>>(
        std::move(requests),
        [](std::span<const Request> all) { return read_each(all, &read_as<T>); }, output);
  }
}

/// The lists that the calls return, behind one another.
template <class T>
Future<std::vector<T>> future_of_chunks(std::vector<Request> requests) {
  return {std::move(requests), [](std::span<const Request> all) {
            std::vector<T> out;
            for (auto& chunk : read_each(all, &read_as<std::vector<T>>)) {
              std::ranges::move(chunk, std::back_inserter(out));
            }
            return out;
          }};
}

}  // namespace detail
}  // namespace ipf
