#include "engine/python_host.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <unistd.h>
#include <utility>

#include <pybind11/pybind11.h>

#include "engine/control_answerer.hpp"
#include "engine/frame_view.hpp"
#include "engine/python_start.hpp"
#include "engine/reply_texts.hpp"
#include "engine/shell_bridge.hpp"
#include "engine/termination_signal.hpp"

namespace py = pybind11;

namespace ipf::engine {

namespace {

constexpr Duration idle_step = std::chrono::milliseconds(50);
/// A signal in the instant before the main thread falls asleep is handled this late at most.
constexpr Duration longest_sleep = std::chrono::seconds(1);

/// The exception as the content of an error reply. Never throws a Python error.
std::string failure_content(const py::error_already_set& failure,
                            EngineId id,
                            const std::string& uuid,
                            std::string_view method) {
  // The name without running Python code: the next interrupt may be waiting for just that.
  std::string ename = PyExceptionClass_Name(failure.type().ptr());
  ename.erase(0, ename.rfind('.') + 1);
  std::string evalue;
  try {
    evalue = py::str(failure.value());
  } catch (const py::error_already_set&) {
    evalue = "(its text cannot be shown)";
  }
  return EngineIdentity(uuid, id).error_content(ename, evalue, method);
}

/// A Python str; bytes that are no UTF-8 become U+FFFD.
py::object text_of(std::string_view bytes) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "replace"));
}

const char* method_of(WorkKind kind) {
  switch (kind) {
    case WorkKind::apply:
      return "apply";
    case WorkKind::execute:
      return "execute";
    case WorkKind::message:
      return "message";
    case WorkKind::clear:
      return "clear";
  }
  return "message";
}

}  // namespace

/// One request after the other; all Python objects live in here, and the GIL is held.
class PythonHost::ShellRunner {
 public:
  ShellRunner(EngineChannels& channels, const PythonOptions& options, EngineId id)
      : channels_(channels),
        options_(options),
        id_(id),
        lent_(std::make_shared<LentBuffers>(channels.queue)),
        bridge_(channels,
                lent_,
                {.uuid = options.uuid, .username = options.username, .id = id},
                options.kernel),
        frame_view_type_(py::reinterpret_steal<py::object>(make_frame_view_type())) {
    if (!frame_view_type_) {
      throw py::error_already_set();
    }
  }

  void start() {
    shell_ = py::module_::import("ipyfleet.engine.shell").attr("start")(bridge_.module(), config());
    apply_ = shell_.attr("apply");
    execute_ = shell_.attr("execute");
    answer_ = shell_.attr("answer");
    answer_beside_ = shell_.attr("answer_beside");
    answerer_.emplace(channels_, [this](const Message& message) {
      try {
        return ask(answer_beside_, message);
      } catch (const py::error_already_set& failure) {
        return failure_content(failure, id_, options_.uuid, "control");
      }
    });
  }

  /// Drops what belongs to Python. Functions of the bridge work until the interpreter is gone:
  /// atexit handlers may print.
  void let_go() {
    answerer_.reset();
    answer_beside_ = {};
    shell_ = {};
    apply_ = {};
    execute_ = {};
    answer_ = {};
    frame_view_type_ = {};
    bridge_.let_go();
  }

  bool has_debugger() const { return shell_.attr("has_debugger").cast<bool>(); }

  /// Until the queue says stop. False when this is a forked child of user code, which must vanish.
  bool loop() {
    while (true) {
      ExecutionQueue::Taken taken;
      const Duration most = wants_idle() ? idle_step : longest_sleep;
      {
        const py::gil_scoped_release no_gil;
        taken = channels_.queue.take(most);
      }
      drop_signals();
      lent_->release_returned();
      if (taken.outcome == ExecutionQueue::Outcome::stopped) {
        return true;
      }
      if (taken.item) {
        run(*taken.item);
        if (bridge_.in_fork()) {
          return false;
        }
      } else if (wants_idle()) {
        quietly([this] { shell_.attr("do_one_idle")(); });
      }
    }
  }

 private:
  py::dict config() const {
    py::dict traits;
    const py::object literal = py::module_::import("ast").attr("literal_eval");
    for (const auto& [class_name, values] : options_.traits) {
      py::dict of_class;
      for (const auto& [name, text] : values) {
        try {
          of_class[name.c_str()] = literal(text);
        } catch (const py::error_already_set&) {
          of_class[name.c_str()] = text;
        }
      }
      traits[class_name.c_str()] = of_class;
    }
    py::dict config;
    config["startup_command"] = options_.startup_command;
    config["startup_script"] = options_.startup_script;
    config["profile_dir"] = options_.profile_dir;
    config["use_mpi"] = options_.use_mpi;
    config["mpi_module"] = options_.mpi_module;
    config["init_mpi"] = options_.init_mpi;
    config["init_profile"] = options_.init_profile;
    config["traits"] = traits;
    config["is_kernel"] = options_.is_kernel;
    return config;
  }

  void run(const WorkItem& item) {
    channels_.streams.set_parent(item.message.frames().shared(item.message.identity_count() + 2),
                                 item.of_kernel);
    channels_.current_request.store(item.token.value);
    if (channels_.queue.begin()) {
      PyErr_SetInterrupt();
    }
    WorkDone done{.token = item.token};
    const char* method = method_of(item.kind);
    try {
      call(item, done);
    } catch (py::error_already_set& failure) {
      // The shell answers for what user code raises; this is an interrupt just beside it, or a bug.
      done.content = failure_content(failure, id_, options_.uuid, method);
    }
    if (bridge_.in_fork()) {
      return;
    }
    channels_.queue.finish();
    drop_signals();
    std::fflush(stdout);  // what C code has printed; nothing to do otherwise
    channels_.streams.flush();
    channels_.outputs.push(std::move(done));
    quietly([this] {
      if (shell_.attr("exit_requested").cast<bool>()) {
        channels_.outputs.push(ExitRequested{});
      }
    });
  }

  void call(const WorkItem& item, WorkDone& done) {
    if (item.kind == WorkKind::clear) {
      shell_.attr("clear")();
      return;
    }
    const py::object msg_id = text_of(item.msg_id);
    if (item.kind == WorkKind::execute) {
      done.content = execute_(msg_id, text_of(item.message.content())).cast<std::string>();
      return;
    }
    if (item.kind == WorkKind::message) {
      done.content = ask(answer_, item.message);
      return;
    }
    const py::object result = call_apply(item, msg_id);
    if (!PyTuple_Check(result.ptr()) || PyTuple_GET_SIZE(result.ptr()) != 2) {
      throw py::type_error("shell.apply must return a pair");
    }
    const py::handle error = PyTuple_GET_ITEM(result.ptr(), 0);
    if (!error.is_none()) {
      done.content = error.cast<std::string>();
      return;
    }
    for (const auto& buffer :
         py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(result.ptr(), 1))) {
      LentBuffers::add(lent_, reply_, buffer);
    }
    done.buffers = reply_.finish();
  }

  std::string ask(const py::object& method, const Message& message) {
    return method(text_of(message.header()), text_of(message.metadata()),
                  text_of(message.content()), buffers_of(message))
        .cast<std::string>();
  }

  /// The buffers of a message as memoryviews, not copied.
  py::list buffers_of(const Message& message) {
    py::list buffers(message.buffer_count());
    for (std::size_t i = 0; i < message.buffer_count(); ++i) {
      PyObject* view =
          frame_memoryview(frame_view_type_.ptr(), message.frames(), message.first_buffer() + i);
      if (view == nullptr) {
        throw py::error_already_set();
      }
      PyList_SET_ITEM(buffers.ptr(), static_cast<Py_ssize_t>(i), view);
    }
    return buffers;
  }

  py::object call_apply(const WorkItem& item, const py::object& msg_id) {
    reply_.clear();
    const py::list buffers = buffers_of(item.message);
    const std::array<PyObject*, 2> arguments{msg_id.ptr(), buffers.ptr()};
    auto result = py::reinterpret_steal<py::object>(
        PyObject_Vectorcall(apply_.ptr(), arguments.data(), arguments.size(), nullptr));
    if (!result) {
      throw py::error_already_set();
    }
    return result;
  }

  bool wants_idle() {
    const auto flag =
        py::reinterpret_steal<py::object>(PyObject_GetAttrString(shell_.ptr(), "wants_idle"));
    if (!flag) {
      PyErr_Clear();
      return false;
    }
    return PyObject_IsTrue(flag.ptr()) == 1;
  }

  /// Runs the handlers of signals that arrived between requests; a KeyboardInterrupt hits nobody.
  static void drop_signals() {
    if (PyErr_CheckSignals() != 0) {
      PyErr_Clear();
    }
  }

  template <class Call>
  static void quietly(Call call) {
    try {
      call();
    } catch (const py::error_already_set&) {
      PyErr_Clear();  // an interrupt in the machinery between requests: it hits nobody
    }
  }

  EngineChannels& channels_;
  const PythonOptions& options_;
  EngineId id_;
  std::shared_ptr<LentBuffers> lent_;
  ShellBridge bridge_;
  py::object frame_view_type_;
  FramesBuilder reply_;
  py::object shell_{};
  py::object apply_{};
  py::object execute_{};
  py::object answer_{};
  py::object answer_beside_{};
  std::optional<ControlAnswerer> answerer_{};
};

namespace {

/// What this environment lacks, if that is the failure.
std::optional<std::string> missing_package(const py::error_already_set& failure) {
  if (!failure.matches(PyExc_ModuleNotFoundError)) {
    return std::nullopt;
  }
  const std::string name = py::str(failure.value().attr("name"));
  if (name != "ipyfleet" && name != "IPython" && name != "traitlets") {
    return std::nullopt;
  }
  const std::string python = py::str(py::module_::import("sys").attr("executable"));
  return python + " has no package " + name + ": install it there: " + python +
         " -m pip install ipyfleet";
}

/// One clear line, then the traceback on the real stderr, wherever sys.stderr points by now.
void report_start_failure(const py::error_already_set& failure, Log& log) {
  try {
    if (const auto missing = missing_package(failure)) {
      log.error(*missing);
      return;
    }
    const std::string name = py::str(failure.type().attr("__name__"));
    log.error("cannot start the engine's shell: " + name + ": " +
              std::string(py::str(failure.value())));
    const py::object trace = failure.trace() ? py::object(failure.trace()) : py::none();
    py::module_::import("traceback")
        .attr("print_exception")(failure.type(), failure.value(), trace,
                                 py::arg("file") = py::module_::import("sys").attr("__stderr__"));
  } catch (const py::error_already_set&) {
    log.error("cannot start the engine's shell, and the reason cannot be shown");
  }
}

/// What of Py_FinalizeEx() user code can see: Python frames are below this one, so the interpreter
/// itself has to stay until the process ends.
void end_as_guest() {
  for (const auto& [module, function] :
       {std::pair{"threading", "_shutdown"}, std::pair{"atexit", "_run_exitfuncs"}}) {
    try {
      py::module_::import(module).attr(function)();
    } catch (py::error_already_set& failure) {
      failure.discard_as_unraisable("the end of the engine");
    }
  }
}

}  // namespace

void PythonHost::run() {
  // A fork of the fork server has a running Python.
  if (Py_IsInitialized() == 0 && !start_interpreter(options_.executable, log_)) {
    channels_.outputs.push(ShellBroken{});
    channels_.outputs.push(MainThreadDone{});
    return;
  }
  redirect_termination(channels_.termination);
  std::unique_ptr<ShellRunner> runner;
  run_engine(runner);
  if (runner) {
    runner->let_go();
  }
  if (options_.is_guest) {
    end_as_guest();
  } else if (Py_FinalizeEx() != 0) {
    log_.warning("Python could not write all of its output at the end");
  }
  channels_.outputs.push(MainThreadDone{});
}

void PythonHost::run_engine(std::unique_ptr<ShellRunner>& runner) {
  try {
    // Before the id is there: most of the time of a start is spent here.
    const py::module_ shell_module = py::module_::import("ipyfleet.engine.shell");
    std::optional<EngineId> id;
    {
      const py::gil_scoped_release no_gil;
      id = channels_.queue.wait_admitted();
    }
    if (!id) {
      return;
    }
    runner = std::make_unique<ShellRunner>(channels_, options_, *id);
    runner->start();
    std::string version = Py_GetVersion();
    version.erase(std::min(version.find(' '), version.size()));
    channels_.outputs.push(
        ShellReady{.python_version = version, .debugger = runner->has_debugger()});
    if (!runner->loop()) {
      std::fflush(nullptr);
      _exit(0);
    }
  } catch (py::error_already_set& failure) {
    report_start_failure(failure, log_);
    channels_.outputs.push(ShellBroken{});
  } catch (const std::exception& failure) {
    log_.error(std::string("the engine's Python side failed: ") + failure.what());
    channels_.outputs.push(ShellBroken{});
  }
}

}  // namespace ipf::engine
