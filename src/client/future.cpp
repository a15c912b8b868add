#include "ipyfleet/future.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "client/pickle_reader.hpp"
#include "core/clock.hpp"
#include "protocol/json_text.hpp"

namespace ipf::detail {

namespace {

/// Takes the colours out that IPython puts into tracebacks.
std::string without_escapes(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\x1b' || i + 1 >= text.size() || text[i + 1] != '[') {
      out += text[i];
      continue;
    }
    i += 2;
    while (i < text.size() && (text[i] < '@' || text[i] > '~')) {
      ++i;
    }
  }
  return out;
}

Json content_of(const Request& request) {
  auto content = parse_json_object(request.reply_content(), "the content of a reply");
  if (!content) {
    throw RemoteError({.ename = "ProtocolError", .evalue = content.error().message});
  }
  return std::move(*content);
}

std::string engine_of(const Request& request) {
  const auto metadata = parse_json_object(request.reply_metadata(), "the metadata of a reply");
  const std::string engine = metadata ? string_or(*metadata, "engine") : std::string();
  return engine.empty() ? request.target() : engine;
}

[[noreturn]] void throw_failure(const Request& request) {
  if (const std::string name = request.local_error_name(); !name.empty()) {
    if (name == "ClientClosed") {
      throw ClientError(ClientErrorCode::closed, request.local_error_text());
    }
    throw RemoteError(
        {.ename = name, .evalue = request.local_error_text(), .engine_uuid = request.target()});
  }
  if (request.status() == Status::aborted) {
    throw RemoteError({.ename = "TaskAborted",
                       .evalue = "the call was aborted before it ran",
                       .engine_uuid = engine_of(request)});
  }
  const Json content = content_of(request);
  std::string traceback;
  if (const auto lines = content.find("traceback"); lines != content.end() && lines->is_array()) {
    for (const auto& line : *lines) {
      traceback += line.is_string() ? without_escapes(line.get<std::string>()) + "\n" : "";
    }
  }
  throw RemoteError({.ename = string_or(content, "ename", "Error"),
                     .evalue = string_or(content, "evalue"),
                     .traceback = std::move(traceback),
                     .engine_uuid = engine_of(request)});
}

}  // namespace

bool all_done(std::span<const Request> requests, bool output) {
  return std::ranges::all_of(requests, [output](const Request& request) {
    return request.cancelled() || (request.done() && (!output || request.output_done()));
  });
}

void wait_for(std::span<const Request> requests, bool output, Timeout timeout) {
  if (all_done(requests, output)) {
    return;
  }
  std::vector<Request> open;
  std::ranges::copy_if(requests, std::back_inserter(open),
                       [](const Request& request) { return !request.cancelled(); });
  const TimePoint start = steady_now();
  bool done = Completions(open).wait_all(timeout);
  if (done && output) {
    const Timeout left =
        timeout == forever ? forever : std::max(Timeout::zero(), timeout - (steady_now() - start));
    done = Completions(open, Completions::Until::output).wait_all(left);
  }
  if (!done) {
    const auto left =
        std::ranges::count_if(open, [](const Request& request) { return !request.done(); });
    throw TimeoutError(std::to_string(left) + " of " + std::to_string(requests.size()) +
                       " calls have no result yet");
  }
}

void read_nothing(const Request& request) {
  if (request.cancelled()) {
    throw RemoteError({.ename = "TaskCancelled",
                       .evalue = "the call was cancelled",
                       .engine_uuid = request.target()});
  }
  if (request.status() != Status::ok) {
    throw_failure(request);
  }
}

Value read_value(const Request& request) {
  read_nothing(request);
  auto value = client::read_object(request.reply_buffers());
  if (!value) {
    throw ConversionError(value.error().message);
  }
  return std::move(*value);
}

Executed read_executed(const Request& request) {
  read_nothing(request);
  Executed out;
  const Json reply = content_of(request);
  out.execution_count = reply.value("execution_count", Json(0)).is_number_integer()
                            ? reply.value("execution_count", 0)
                            : 0;
  for (const auto& output : request.outputs().items) {
    const auto content = parse_json_object(output.content, "output");
    if (!content) {
      continue;
    }
    if (output.type == "stream") {
      const bool error = string_or(*content, "name") == "stderr";
      (error ? out.stderr_text : out.stdout_text) += string_or(*content, "text");
    } else if (output.type == "execute_result") {
      const auto data = content->find("data");
      out.text = data != content->end() && data->is_object() ? string_or(*data, "text/plain") : "";
    }
  }
  return out;
}

}  // namespace ipf::detail
