// ipyfleet._native: the C++ client for Python. The signatures are repeated in _native.pyi.
#include <Python.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/clock.hpp"
#include "ipyfleet/client.hpp"
#include "launcher_bindings.hpp"
#include "python_buffers.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace ipf::bindings {
namespace {

/// How long a signal (Ctrl-C) may go unnoticed while a thread waits.
constexpr Timeout longest_wait = std::chrono::milliseconds(50);

/// Seconds as Python counts them; None, negative and infinite mean for ever.
Timeout to_timeout(const std::optional<double>& seconds) {
  if (!seconds || std::isnan(*seconds) || *seconds < 0 || *seconds > 1e9) {
    return forever;
  }
  return std::chrono::duration_cast<Timeout>(std::chrono::duration<double>(*seconds));
}

/// Calls `wait(time)` without the GIL until it returns true or the time is over, and lets signal
/// handlers run in between. Returns what `wait` returned last.
template <class Wait>
bool wait_interruptibly(const std::optional<double>& seconds, ReleaseQueue& queue, Wait wait) {
  const Timeout timeout = to_timeout(seconds);
  const TimePoint start = steady_now();
  while (true) {
    const Timeout left =
        timeout == forever ? forever : std::max(Timeout::zero(), timeout - (steady_now() - start));
    bool done = false;
    {
      const py::gil_scoped_release unlocked;
      done = wait(std::min(left, longest_wait));
    }
    queue.drain();
    if (done || left <= longest_wait) {
      return done;
    }
    if (PyErr_CheckSignals() != 0) {
      throw py::error_already_set();
    }
  }
}

void translate(const ClientError& error) {
  PyObject* type = PyExc_RuntimeError;
  switch (error.code()) {
    case ClientErrorCode::invalid_argument:
    case ClientErrorCode::unsupported:
      type = PyExc_ValueError;
      break;
    case ClientErrorCode::not_found:
      type = PyExc_FileNotFoundError;
      break;
    case ClientErrorCode::permission:
      type = PyExc_PermissionError;
      break;
    case ClientErrorCode::timed_out:
      type = PyExc_TimeoutError;
      break;
    case ClientErrorCode::closed:
      type = PyExc_ConnectionError;
      break;
    case ClientErrorCode::too_many:
    case ClientErrorCode::forked:
      break;
  }
  PyErr_SetString(type, error.what());
}

const char* status_name(Status status) {
  switch (status) {
    case Status::pending:
      return "pending";
    case Status::ok:
      return "ok";
    case Status::error:
      return "error";
    case Status::aborted:
      return "aborted";
  }
  return "pending";
}

py::bytes to_bytes(std::string_view text) {
  return {text.data(), text.size()};
}

py::list to_list(std::vector<Buffer> buffers) {
  py::list out(buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    out[i] = to_python(std::move(buffers[i]));
  }
  return out;
}

py::tuple outputs_of(const Request& request, std::size_t first) {
  Outputs outputs;
  {
    const py::gil_scoped_release unlocked;
    outputs = request.outputs(first);
  }
  const py::list items(outputs.items.size());
  for (std::size_t i = 0; i < outputs.items.size(); ++i) {
    Output& output = outputs.items[i];
    items[i] =
        py::make_tuple(output.type, to_bytes(output.content), to_list(std::move(output.buffers)));
  }
  return py::make_tuple(items, outputs.truncated);
}

using QueuePtr = std::shared_ptr<ReleaseQueue>;

/// A client that makes its Python buffers known to the module's release queue.
struct NativeClient {
  Client client;
  QueuePtr queue;
};

std::unique_ptr<NativeClient> connect(ConnectOptions options,
                                      std::size_t outstanding_max,
                                      const std::optional<double>& timeout,
                                      const QueuePtr& queue) {
  options.timeout = Timeout::zero();
  const ClientLimits limits{.outstanding_max = outstanding_max};
  std::unique_ptr<NativeClient> made;
  {
    const py::gil_scoped_release unlocked;
    made.reset(new NativeClient{Client(options, limits), queue});
  }
  const Client& client = made->client;
  if (!wait_interruptibly(timeout, *queue,
                          [&](Timeout time) { return client.wait_connected(time); })) {
    throw ClientError(
        ClientErrorCode::timed_out,
        "the controller did not answer in time" +
            (client.file().empty() ? std::string() : " (connection file " + client.file() + ")") +
            "; is it running?");
  }
  return made;
}

Route to_route(const std::string& name) {
  if (name == "engine") {
    return Route::engine;
  }
  if (name == "balanced") {
    return Route::balanced;
  }
  if (name == "control") {
    return Route::control;
  }
  if (name == "hub") {
    return Route::hub;
  }
  throw ClientError(ClientErrorCode::invalid_argument, "there is no route '" + name + "'");
}

/// The GIL is held: the IO thread never needs it, so waiting for room in the mailbox ends.
Request send(NativeClient& self,
             const std::string& route,
             std::string_view type,
             std::string_view engine_uuid,
             std::string_view metadata,
             std::string_view content,
             const py::sequence& buffers) {
  self.queue->drain();
  const OutgoingBuffers outgoing(buffers, self.queue);
  return self.client.send({.route = to_route(route),
                           .type = type,
                           .engine_uuid = engine_uuid,
                           .metadata = metadata,
                           .content = content,
                           .buffers = outgoing.list()});
}

Request apply(NativeClient& self,
              std::string_view engine_uuid,
              std::string_view metadata,
              const py::sequence& buffers) {
  self.queue->drain();
  const OutgoingBuffers outgoing(buffers, self.queue);
  return self.client.send({.route = engine_uuid.empty() ? Route::balanced : Route::engine,
                           .type = "apply_request",
                           .engine_uuid = engine_uuid,
                           .metadata = metadata,
                           .buffers = outgoing.list()});
}

std::vector<Request> broadcast(NativeClient& self,
                               const std::vector<std::string>& engine_uuids,
                               std::string_view type,
                               std::string_view metadata,
                               std::string_view content,
                               const py::sequence& buffers) {
  self.queue->drain();
  const OutgoingBuffers outgoing(buffers, self.queue);
  return self.client.broadcast(
      {.type = type, .metadata = metadata, .content = content, .buffers = outgoing.list()},
      engine_uuids);
}

std::size_t count_done(const std::vector<Request>& requests) {
  return static_cast<std::size_t>(
      std::ranges::count_if(requests, [](const Request& request) { return request.done(); }));
}

std::optional<std::int64_t> parse_date(std::string_view text) {
  WallTime time;
  return parse_iso(text, time) ? std::optional<std::int64_t>(time.microseconds) : std::nullopt;
}

/// Waits for the results of all requests, and for their output too if that is wanted.
bool wait_for(std::span<const Request> requests,
              const std::optional<double>& timeout,
              bool output,
              ReleaseQueue& queue) {
  Completions results(requests);
  std::optional<Completions> outputs;
  if (output) {
    outputs.emplace(requests, Completions::Until::output);
  }
  return wait_interruptibly(timeout, queue, [&](Timeout time) {
    return results.wait_all(time) && (!outputs || outputs->wait_all(time));
  });
}

void bind_request(const py::module_& module, const QueuePtr& queue) {
  py::class_<Request>(module, "Request", "A request that was sent, and its result.")
      .def_property_readonly("number", &Request::number)
      .def_property_readonly("msg_id", &Request::msg_id)
      .def_property_readonly("type", &Request::type)
      .def_property_readonly("target", &Request::target)
      .def_property_readonly("submitted", &Request::submitted_microseconds)
      .def_property_readonly("received", &Request::received_microseconds)
      .def_property_readonly("done", &Request::done)
      .def_property_readonly("output_done", &Request::output_done)
      .def_property_readonly("status",
                             [](const Request& self) { return status_name(self.status()); })
      .def_property_readonly("local_error",
                             [](const Request& self) {
                               return py::make_tuple(self.local_error_name(),
                                                     self.local_error_text());
                             })
      .def_property_readonly("header",
                             [](const Request& self) { return to_bytes(self.reply_header()); })
      .def_property_readonly("metadata",
                             [](const Request& self) { return to_bytes(self.reply_metadata()); })
      .def_property_readonly("content",
                             [](const Request& self) { return to_bytes(self.reply_content()); })
      .def("buffers", [](const Request& self) { return to_list(self.reply_buffers()); })
      .def("outputs", &outputs_of, "first"_a = 0)
      .def(
          "wait",
          [queue](const Request& self, const std::optional<double>& timeout) {
            return self.done() || wait_for({&self, 1}, timeout, false, *queue);
          },
          "timeout"_a = py::none())
      .def(
          "wait_for_output",
          [queue](const Request& self, const std::optional<double>& timeout) {
            return wait_for({&self, 1}, timeout, true, *queue);
          },
          "timeout"_a = py::none());
}

void bind_completions(const py::module_& module, const QueuePtr& queue) {
  py::class_<Completions>(module, "Completions", "Tells which of a set of requests finish.")
      .def(py::init([](const std::vector<Request>& requests, bool output) {
             return Completions(requests,
                                output ? Completions::Until::output : Completions::Until::result);
           }),
           "requests"_a = py::tuple(), "output"_a = false)
      .def(
          "add",
          [](Completions& self, const Request& request, std::uint32_t index, bool output) {
            self.add(request, index,
                     output ? Completions::Until::output : Completions::Until::result);
          },
          "request"_a, "index"_a, "output"_a = false)
      .def(
          "next",
          [queue](Completions& self, const std::optional<double>& timeout) {
            std::vector<std::uint32_t> indices;
            wait_interruptibly(timeout, *queue, [&](Timeout time) {
              indices = self.next(time);
              return !indices.empty() || self.open() == 0;
            });
            return indices;
          },
          "timeout"_a = py::none())
      .def_property_readonly("open", &Completions::open);
}

void bind_requests(py::class_<NativeClient>& client) {
  client
      .def("send", &send, "route"_a, "type"_a, "engine_uuid"_a = "", "metadata"_a = "{}",
           "content"_a = "{}", "buffers"_a = py::tuple())
      .def("apply", &apply, "engine_uuid"_a, "metadata"_a, "buffers"_a)
      .def("broadcast", &broadcast, "engine_uuids"_a, "type"_a, "metadata"_a, "content"_a = "{}",
           "buffers"_a = py::tuple())
      .def(
          "forget",
          [](NativeClient& self, std::string_view msg_id) { return self.client.forget(msg_id); },
          "msg_id"_a)
      .def(
          "find",
          [](const NativeClient& self, std::string_view msg_id) {
            return self.client.find(msg_id);
          },
          "msg_id"_a)
      .def("outstanding", [](const NativeClient& self) { return self.client.outstanding(); })
      .def_property_readonly(
          "outstanding_count",
          [](const NativeClient& self) { return self.client.outstanding_count(); })
      .def("history", [](const NativeClient& self) { return self.client.history(); })
      .def_property_readonly("session",
                             [](const NativeClient& self) { return self.client.session(); })
      .def_property_readonly("file", [](const NativeClient& self) { return self.client.file(); })
      .def_property_readonly("closed",
                             [](const NativeClient& self) { return self.client.closed(); })
      .def("close", [](NativeClient& self) {
        {
          const py::gil_scoped_release unlocked;
          self.client.close();
        }
        self.queue->drain();
      });
}

void bind_client(const py::module_& module, const QueuePtr& queue) {
  py::class_<NativeClient> client(module, "Client", "A connection to a controller.",
                                  py::release_gil_before_calling_cpp_dtor());
  client
      .def(
          py::init([queue](std::string connection_text, std::string file, std::string profile,
                           std::string profile_dir, std::string ipython_dir, std::string cluster_id,
                           std::string ssh_server, std::string ssh_key, std::string ssh_password,
                           const std::optional<double>& timeout, std::size_t outstanding_max) {
            return connect({.connection_text = std::move(connection_text),
                            .file = std::move(file),
                            .profile = std::move(profile),
                            .profile_dir = std::move(profile_dir),
                            .ipython_dir = std::move(ipython_dir),
                            .cluster_id = std::move(cluster_id),
                            .ssh_server = std::move(ssh_server),
                            .ssh_key = std::move(ssh_key),
                            .ssh_password = std::move(ssh_password)},
                           outstanding_max, timeout, queue);
          }),
          py::kw_only(), "connection_text"_a = "", "file"_a = "", "profile"_a = "",
          "profile_dir"_a = "", "ipython_dir"_a = "", "cluster_id"_a = "", "ssh_server"_a = "",
          "ssh_key"_a = "", "ssh_password"_a = "", "timeout"_a = 10.0,
          "outstanding_max"_a = ClientLimits{}.outstanding_max)
      .def("engines",
           [](const NativeClient& self) {
             py::dict out;
             for (const auto& engine : self.client.engines()) {
               out[py::int_(engine.id)] = engine.uuid;
             }
             return out;
           })
      .def_property_readonly("engines_version",
                             [](const NativeClient& self) { return self.client.engines_version(); })
      .def(
          "wait_for_engines",
          [](const NativeClient& self, std::size_t count, const std::optional<double>& timeout) {
            return wait_interruptibly(timeout, *self.queue, [&](Timeout time) {
              return self.client.wait_for_engines(count, time);
            });
          },
          "count"_a, "timeout"_a = py::none());
  bind_requests(client);
}

}  // namespace
}  // namespace ipf::bindings

PYBIND11_MODULE(_native, module) {
  namespace bindings = ipf::bindings;
  module.doc() = "The C++ client of ipyfleet.";
  py::register_local_exception_translator(
      [](std::exception_ptr failure) {  // NOLINT(performance-unnecessary-value-param)
        try {
          if (failure) {
            std::rethrow_exception(failure);
          }
        } catch (const ipf::ClientError& error) {
          bindings::translate(error);
        }
      });
  const auto queue = std::make_shared<bindings::ReleaseQueue>();
  py::module_::import("atexit").attr("register")(py::cpp_function([queue] { queue->end(); }));

  py::class_<bindings::FrameView>(module, "FrameView", py::buffer_protocol(),
                                  "The memory of a received frame.")
      .def_buffer([](const bindings::FrameView& self) {
        const auto bytes = self.buffer.bytes;
        return py::buffer_info(const_cast<char*>(bytes.data()), 1, "B", 1,
                               {static_cast<py::ssize_t>(bytes.size())}, {1}, true);
      });
  bindings::bind_request(module, queue);
  bindings::bind_completions(module, queue);
  bindings::bind_client(module, queue);
  bindings::add_launcher(module);
  module.def("count_done", &bindings::count_done, "requests"_a);
  module.def("parse_date", &bindings::parse_date, "text"_a);
  module.def(
      "wait_all",
      [queue](const std::vector<ipf::Request>& requests, const std::optional<double>& timeout,
              bool output) { return bindings::wait_for(requests, timeout, output, *queue); },
      "requests"_a, "timeout"_a = py::none(), "output"_a = false);
}
