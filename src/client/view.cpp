#include "ipyfleet/view.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iterator>

#include "client/core.hpp"
#include "client/pickle_writer.hpp"
#include "client/python_text.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

constexpr int priority_max = 1'000'000;
constexpr std::string_view no_label = R"({"label": null})";

std::shared_ptr<client::Core> locked(const std::weak_ptr<client::Core>& weak) {
  auto core = weak.lock();
  if (!core) {
    throw ClientError(ClientErrorCode::closed, "the client of this view is gone");
  }
  return core;
}

std::vector<Buffer> pickled(const Call& call) {
  return client::pickle_call({.function = &call.function.value(),
                              .imported = call.function.is_imported(),
                              .arguments = call.arguments,
                              .keywords = call.keywords});
}

double seconds(Timeout timeout) {
  return std::chrono::duration<double>(timeout).count();
}

std::string task_metadata(const client::Core& core, const BalancedOptions& options) {
  if (options.retries < 0 || std::abs(options.priority) > priority_max ||
      options.timeout < Timeout::zero() || options.run_timeout < Timeout::zero()) {
    throw ClientError(ClientErrorCode::invalid_argument,
                      "retries and times are from 0, priority is within 1000000 of 0");
  }
  Json targets = Json::array();
  if (!options.targets.empty()) {
    for (const auto& engine : core.engines(options.targets)) {
      targets.push_back(engine.uuid);
    }
  }
  Json out{{"after", options.after},     {"follow", options.follow},
           {"targets", targets},         {"timeout", seconds(options.timeout)},
           {"retries", options.retries}, {"label", nullptr}};
  if (!options.label.empty()) {
    out["label"] = options.label;
  }
  if (options.priority != 0) {
    out["priority"] = options.priority;
  }
  if (options.run_timeout > Timeout::zero()) {
    out["run_timeout"] = seconds(options.run_timeout);
  }
  return dump_json(out);
}

std::string execute_content(std::string_view code, bool silent) {
  return dump_json({{"code", code}, {"silent", silent}, {"user_expressions", Json::object()}});
}

std::vector<Request> send_broadcast(client::Core& core,
                                    const std::vector<EngineInfo>& engines,
                                    RequestSpec spec) {
  Json targets = Json::array();
  std::vector<std::string> uuids;
  for (const auto& engine : engines) {
    targets.push_back({engine.uuid, engine.id});
    uuids.push_back(engine.uuid);
  }
  const std::string metadata =
      dump_json({{"targets", targets}, {"is_broadcast", true}, {"is_coalescing", false}});
  spec.metadata = metadata;
  return core.send_broadcast(spec, uuids);
}

/// The function as an argument of another one.
Value as_argument(const Function& function) {
  return function.is_imported()
             ? Value::expression("__import__('pkgutil').resolve_name(" +
                                 client::python_string(function.value().text()) + ")")
             : function.value();
}

}  // namespace

namespace detail {

Request Sender::call(const std::string& engine_uuid, const Call& call) const {
  const auto core = locked(core_);
  return core->send({.route = Route::engine,
                     .type = "apply_request",
                     .engine_uuid = engine_uuid,
                     .metadata = no_label,
                     .buffers = pickled(call)});
}

Request Sender::execute(const std::string& engine_uuid, std::string_view code, bool silent) const {
  const auto core = locked(core_);
  return core->send({.route = Route::engine,
                     .type = "execute_request",
                     .engine_uuid = engine_uuid,
                     .metadata = no_label,
                     .content = execute_content(code, silent)});
}

Request Sender::task(const BalancedOptions& options, const Call& call) const {
  const auto core = locked(core_);
  return core->send({.route = Route::balanced,
                     .type = "apply_request",
                     .metadata = task_metadata(*core, options),
                     .buffers = pickled(call)});
}

std::vector<Request> Sender::broadcast(const std::vector<EngineInfo>& engines,
                                       const Call& call) const {
  const auto core = locked(core_);
  return send_broadcast(*core, engines, {.type = "apply_request", .buffers = pickled(call)});
}

std::vector<Request> Sender::broadcast_execute(const std::vector<EngineInfo>& engines,
                                               std::string_view code,
                                               bool silent) const {
  const auto core = locked(core_);
  const std::string content = execute_content(code, silent);
  return send_broadcast(*core, engines, {.type = "execute_request", .content = content});
}

Call push_call(std::vector<std::pair<std::string, Value>> names) {
  Value::Dict space;
  for (auto& [name, value] : names) {
    if (!client::is_name(name)) {
      throw ClientError(ClientErrorCode::invalid_argument,
                        "'" + name + "' cannot be the name of a variable");
    }
    space.emplace_back(Value(std::move(name)), std::move(value));
  }
  Call call{.function = Function::expression("globals().update")};
  call.arguments.push_back(Value::dict(std::move(space)));
  return call;
}

Call pull_call(std::string_view expression) {
  Call call{.function = Function::expression("lambda value: value")};
  call.arguments.push_back(Value::expression(std::string(expression)));
  return call;
}

Call map_call(const Function& function, std::vector<Value> chunk) {
  Call call{.function = Function::expression("lambda f, items: [f(item) for item in items]")};
  call.arguments.push_back(as_argument(function));
  call.arguments.push_back(Value::list(std::move(chunk)));
  return call;
}

std::vector<Value> partition(const Value& sequence, std::size_t parts) {
  const bool is_array = sequence.kind() == Value::Kind::array;
  if (is_array && sequence.array().shape().empty()) {
    throw ConversionError("an array without axes has no parts");
  }
  const std::size_t count = is_array ? sequence.array().shape().front() : sequence.items().size();
  std::vector<Value> out;
  std::size_t first = 0;
  for (std::size_t i = 0; i < parts; ++i) {
    const std::size_t size = count / parts + (i < count % parts ? 1 : 0);
    if (is_array) {
      out.emplace_back(sequence.array().rows(first, size));
    } else {
      const auto begin = sequence.items().begin() + static_cast<std::ptrdiff_t>(first);
      out.push_back(Value::list({begin, begin + static_cast<std::ptrdiff_t>(size)}));
    }
    first += size;
  }
  return out;
}

Value join(std::span<const Value> parts) {
  const bool arrays = !parts.empty() && std::ranges::all_of(parts, [](const Value& part) {
    return part.kind() == Value::Kind::array;
  });
  if (arrays) {
    std::vector<Array> all;
    for (const auto& part : parts) {
      all.push_back(part.array());
    }
    return {Array::concatenate(all)};
  }
  Value::List out;
  for (const auto& part : parts) {
    std::ranges::copy(part.items(), std::back_inserter(out));
  }
  return Value::list(std::move(out));
}

}  // namespace detail

// ---- DirectView ---------------------------------------------------------------------------------

std::vector<Request> DirectView::send(const Call& call) const {
  if (way_ == Way::broadcast) {
    return sender_.broadcast(engines_, call);
  }
  std::vector<Request> out;
  for (const auto& engine : engines_) {
    out.push_back(sender_.call(engine.uuid, call));
  }
  return out;
}

Future<std::vector<Executed>> DirectView::execute(std::string_view code, bool silent) const {
  if (way_ == Way::broadcast) {
    return detail::future_of_each<Executed>(sender_.broadcast_execute(engines_, code, silent),
                                            true);
  }
  std::vector<Request> requests;
  for (const auto& engine : engines_) {
    requests.push_back(sender_.execute(engine.uuid, code, silent));
  }
  return detail::future_of_each<Executed>(std::move(requests), true);
}

std::vector<Request> DirectView::scatter_value(const std::string& name,
                                               const Value& sequence) const {
  const auto parts = detail::partition(sequence, engines_.size());
  std::vector<Request> out;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    out.push_back(sender_.call(engines_[i].uuid, detail::push_call({{name, parts[i]}})));
  }
  return out;
}

std::vector<Request> DirectView::map_values(const Function& function,
                                            std::vector<Value> items) const {
  const auto parts = detail::partition(Value::list(std::move(items)), engines_.size());
  std::vector<Request> out;
  for (std::size_t i = 0; i < engines_.size(); ++i) {
    out.push_back(sender_.call(engines_[i].uuid, detail::map_call(function, parts[i].items())));
  }
  return out;
}

// ---- BalancedView -------------------------------------------------------------------------------

std::vector<Request> BalancedView::map_values(const Function& function,
                                              std::vector<Value> items,
                                              std::size_t chunksize) const {
  if (chunksize == 0) {
    throw ClientError(ClientErrorCode::invalid_argument, "a chunksize is from 1");
  }
  std::vector<Request> out;
  for (std::size_t first = 0; first < items.size(); first += chunksize) {
    const auto begin = items.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(chunksize, items.size() - first));
    out.push_back(sender_.task(options_, detail::map_call(function, {begin, end})));
  }
  return out;
}

}  // namespace ipf
