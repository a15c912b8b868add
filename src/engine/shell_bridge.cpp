#include "engine/shell_bridge.hpp"

#include <string_view>
#include <unistd.h>
#include <utility>

namespace py = pybind11;

namespace ipf::engine {

namespace {

/// How late an interrupt reaches code that waits for input.
constexpr Duration signal_check_interval = std::chrono::milliseconds(50);

/// UTF-8 of a Python str; lone surrogates become question marks.
std::string utf8_of(py::handle text) {
  Py_ssize_t size = 0;
  if (const char* bytes = PyUnicode_AsUTF8AndSize(text.ptr(), &size)) {
    return {bytes, static_cast<std::size_t>(size)};
  }
  PyErr_Clear();
  const auto encoded =
      py::reinterpret_steal<py::bytes>(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "replace"));
  if (!encoded) {
    throw py::error_already_set();
  }
  return encoded;
}

}  // namespace

void LentBuffers::add(const std::shared_ptr<LentBuffers>& self,
                      FramesBuilder& out,
                      py::handle object) {
  auto view = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(object.ptr(), view.get(), PyBUF_SIMPLE) != 0) {
    throw py::error_already_set();
  }
  const std::string_view bytes{static_cast<const char*>(view->buf),
                               static_cast<std::size_t>(view->len)};
  if (bytes.size() <= Frames::packed_frame_max) {
    out.add(bytes);
    PyBuffer_Release(view.get());
    return;
  }
  const Py_buffer* lent = view.release();
  out.add(SharedBytes{.owner = std::shared_ptr<const void>(
                          lent,
                          [self](const void* buffer) {
                            self->give_back(static_cast<Py_buffer*>(const_cast<void*>(buffer)));
                          }),
                      .bytes = bytes});
}

void LentBuffers::give_back(Py_buffer* buffer) {
  {
    const std::scoped_lock lock(mutex_);
    returned_.push_back(buffer);
  }
  queue_.nudge();
}

void LentBuffers::release_returned() {
  std::vector<Py_buffer*> returned;
  {
    const std::scoped_lock lock(mutex_);
    returned.swap(returned_);
  }
  for (Py_buffer* buffer : returned) {
    PyBuffer_Release(buffer);
    delete buffer;
  }
}

ShellBridge::ShellBridge(EngineChannels& channels,
                         std::shared_ptr<LentBuffers> lent,
                         KernelOwner owner,
                         KernelPlace kernel)
    : channels_(channels),
      lent_(std::move(lent)),
      owner_(std::move(owner)),
      kernel_(std::move(kernel)),
      pid_(getpid()),
      module_(py::module_::create_extension_module("_ipyfleet_bridge", nullptr, &definition_)) {
  module_.attr("engine_id") = owner_.id.value;
  module_.attr("engine_uuid") = owner_.uuid;
  define_functions();
}

bool ShellBridge::in_fork() const {
  return getpid() != pid_;
}

py::object ShellBridge::ask(std::string prompt, bool password) {
  InputExchange& exchange = channels_.input;
  channels_.streams.flush();
  const std::uint64_t question = exchange.begin();
  channels_.outputs.push(InputWanted{.token = {channels_.current_request.load()},
                                     .question = question,
                                     .prompt = std::move(prompt),
                                     .password = password});
  while (true) {
    InputExchange::Outcome outcome;
    {
      const py::gil_scoped_release no_gil;
      outcome = exchange.wait(signal_check_interval);
    }
    if (outcome.state == InputExchange::State::answered) {
      return py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
          outcome.text.data(), static_cast<Py_ssize_t>(outcome.text.size()), "replace"));
    }
    if (outcome.state == InputExchange::State::refused) {
      return py::none();
    }
    if (PyErr_CheckSignals() != 0) {
      exchange.abandon();
      throw py::error_already_set();
    }
  }
}

void ShellBridge::bind_kernel(const std::string& wanted, const std::string& file) {
  if (!kernel_.text.empty()) {
    return;
  }
  auto parsed = parse_kernel_connection(wanted, "bind_kernel()");
  auto ports = parsed ? open_kernel(std::move(*parsed), std::filesystem::path(file), owner_)
                      : Result<KernelPorts>(unexpected(parsed.error()));
  if (!ports) {
    PyErr_SetString(PyExc_OSError, ports.error().message.c_str());
    throw py::error_already_set();
  }
  kernel_ = {.file = ports->file.string(),
             .text = kernel_connection_text(ports->link->connection())};
  channels_.outputs.push(KernelBound{.link = std::move(ports->link)});
}

void ShellBridge::define_functions() {
  module_.def("write", [this](const py::str& name, const py::str& text) {
    if (!in_fork()) {
      channels_.streams.write(utf8_of(name), utf8_of(text));
    }
  });
  module_.def("flush", [this] {
    if (!in_fork()) {
      channels_.streams.flush();
    }
  });
  module_.def(
      "publish",
      [this](const py::str& msg_type, const py::str& topic, const py::str& content,
             const py::str& metadata, const py::object& buffers) {
        if (in_fork()) {
          return;
        }
        FramesBuilder frames;
        if (!buffers.is_none()) {
          for (const auto& buffer : buffers) {
            LentBuffers::add(lent_, frames, buffer);
          }
        }
        channels_.streams.flush_then({.msg_type = utf8_of(msg_type),
                                      .topic = utf8_of(topic),
                                      .content = utf8_of(content),
                                      .metadata = utf8_of(metadata),
                                      .buffers = frames.finish()});
      },
      py::arg("msg_type"), py::arg("topic"), py::arg("content"), py::arg("metadata") = "",
      py::arg("buffers") = py::none());
  module_.def("ask", [this](const py::str& prompt, bool password) -> py::object {
    return in_fork() ? py::none() : ask(utf8_of(prompt), password);
  });
  module_.def("bind_kernel", [this](const py::str& wanted, const py::str& file) {
    if (!in_fork()) {
      bind_kernel(utf8_of(wanted), utf8_of(file));
    }
  });
  module_.def("kernel_place", [this] { return py::make_tuple(kernel_.file, kernel_.text); });
  module_.def("current_header", [this]() -> py::str {
    const SharedBytes header = channels_.streams.parent();
    const std::string_view text = header.bytes.empty() ? std::string_view("{}") : header.bytes;
    return py::reinterpret_steal<py::str>(
        PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
  });
}

}  // namespace ipf::engine
