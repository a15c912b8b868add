// ipyfleet._native.Launcher: the C++ launchers for ipyfleet.cluster. Signatures: _native.pyi.
#include "launcher_bindings.hpp"

#include <Python.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/log_pruning.hpp"
#include "launcher/launcher.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace ipf::bindings {
namespace {

LauncherRole parse_role(const std::string& role) {
  if (role == "controller") {
    return LauncherRole::controller;
  }
  if (role == "engines" || role == "engine") {
    return LauncherRole::engines;
  }
  throw py::value_error("the role of a launcher is 'controller' or 'engines', not '" + role + "'");
}

[[noreturn]] void raise(const Error& error) {
  PyObject* type = PyExc_RuntimeError;
  switch (error.code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::malformed:
      type = PyExc_ValueError;
      break;
    case ErrorCode::not_found:
      type = PyExc_LookupError;
      break;
    case ErrorCode::unavailable:
      type = PyExc_NotImplementedError;
      break;
    case ErrorCode::io:
      type = PyExc_OSError;
      break;
    default:
      break;
  }
  PyErr_SetString(type, error.message.c_str());
  throw py::error_already_set();
}

std::string to_json(const py::handle& value) {
  return py::module_::import("json").attr("dumps")(value).cast<std::string>();
}

py::dict from_json(const std::string& text) {
  return text.empty() ? py::dict{} : py::module_::import("json").attr("loads")(text);
}

LaunchOptions parse_options(const py::dict& given) {
  LaunchOptions out;
  for (const auto& [key, value] : given) {
    const auto name = key.cast<std::string>();
    if (value.is_none()) {
      continue;
    }
    if (name == "profile_dir") {
      out.paths.dir = value.cast<std::string>();
    } else if (name == "cluster_id") {
      out.paths.cluster_id = value.cast<std::string>();
    } else if (name == "command") {
      out.command = value.cast<std::vector<std::string>>();
    } else if (name == "args") {
      out.args = value.cast<std::vector<std::string>>();
    } else if (name == "work_dir") {
      out.work_dir = value.cast<std::string>();
    } else if (name == "set_id") {
      out.set_id = value.cast<std::string>();
    } else if (name == "fork_server") {
      out.fork_server = value.cast<bool>();
    } else if (name == "fork_server_args") {
      out.fork_server_args = value.cast<std::vector<std::string>>();
    } else if (name == "environment") {
      using Changes = std::map<std::string, std::optional<std::string>>;
      for (auto& [variable, text] : value.cast<Changes>()) {
        out.environment.emplace_back(variable, text);
      }
    } else if (name == "settings") {
      out.settings_json = to_json(value);
    } else {
      throw py::value_error("unknown launcher option '" + name +
                            "'; known are: args, cluster_id, command, environment, fork_server, "
                            "fork_server_args, profile_dir, set_id, settings, work_dir");
    }
  }
  return out;
}

/// One launcher with a lock: Python may call from several threads.
class LauncherHandle {
 public:
  explicit LauncherHandle(std::unique_ptr<Launcher> launcher) : launcher_(std::move(launcher)) {}

  /// Calls `action(launcher)` without the GIL.
  template <class Action>
  auto call(Action action) {
    const py::gil_scoped_release unlocked;
    const std::lock_guard lock(mutex_);
    return action(*launcher_);
  }

  /// The same for what returns Result<void>.
  template <class Action>
  void check(Action action) {
    if (const Result<void> done = call(action); !done) {
      raise(done.error());
    }
  }

 private:
  std::mutex mutex_{};
  std::unique_ptr<Launcher> launcher_;
};

std::unique_ptr<LauncherHandle> handle_of(Result<std::unique_ptr<Launcher>> made) {
  if (!made) {
    raise(made.error());
  }
  return std::make_unique<LauncherHandle>(std::move(*made));
}

py::dict to_dict(const LaunchExit& exit) {
  const bool by_code = exit.status.known && exit.status.signal == 0;
  return py::dict("index"_a = exit.index, "pid"_a = exit.pid,
                  "exit_code"_a = by_code ? py::object(py::int_(exit.status.code)) : py::none(),
                  "signal"_a = exit.status.signal, "text"_a = to_text(exit.status),
                  "output_file"_a = exit.output_file.string(), "engines"_a = exit.engines,
                  "detail"_a = exit.detail);
}

py::list poll(LauncherHandle& self) {
  const std::vector<LaunchExit> ended = self.call([](Launcher& launcher) {
    std::vector<LaunchExit> out;
    launcher.poll(out);
    return out;
  });
  py::list out;
  for (const LaunchExit& exit : ended) {
    out.append(to_dict(exit));
  }
  return out;
}

py::list output_files(LauncherHandle& self) {
  const auto files = self.call([](const Launcher& launcher) { return launcher.output_files(); });
  py::list out;
  for (const auto& file : files) {
    out.append(file.string());
  }
  return out;
}

std::unique_ptr<LauncherHandle> make(const std::string& role,
                                     const std::string& name,
                                     const py::dict& options) {
  return handle_of(make_launcher(parse_role(role), name, parse_options(options)));
}

std::unique_ptr<LauncherHandle> restore(const std::string& role,
                                        const std::string& name,
                                        const py::dict& state,
                                        const py::dict& options) {
  return handle_of(
      restore_launcher(parse_role(role), name, to_json(state), parse_options(options)));
}

std::string short_name(const std::string& role, const std::string& name) {
  const Result<std::string> found = launcher_short_name(parse_role(role), name);
  if (!found) {
    raise(found.error());
  }
  return *found;
}

/// What runs: asked for, signalled, stopped.
void add_controls(py::class_<LauncherHandle>& bound) {
  using Index = std::optional<int>;
  bound
      .def("running",
           [](LauncherHandle& self) {
             return self.call([](Launcher& launcher) { return launcher.running(); });
           })
      .def(
          "can_signal",
          [](LauncherHandle& self, int number, Index index) {
            return self.call([number, index](const Launcher& launcher) {
              return launcher.can_signal(number, index);
            });
          },
          "number"_a, "index"_a = py::none())
      .def(
          "signal",
          [](LauncherHandle& self, int number, Index index) {
            self.check(
                [number, index](Launcher& launcher) { return launcher.signal(number, index); });
          },
          "number"_a, "index"_a = py::none())
      .def(
          "stop",
          [](LauncherHandle& self, bool kill, Index index) {
            self.check([kill, index](Launcher& launcher) {
              return launcher.stop(kill ? StopLevel::kill : StopLevel::graceful, index);
            });
          },
          "kill"_a = false, "index"_a = py::none())
      .def("state",
           [](LauncherHandle& self) {
             return from_json(
                 self.call([](const Launcher& launcher) { return launcher.state().state_json; }));
           })
      .def("state_version",
           [](LauncherHandle& self) {
             return self.call([](const Launcher& launcher) { return launcher.state_version(); });
           })
      .def("output_files", &output_files);
}

}  // namespace

void add_launcher(py::module_& module) {
  module.def(
      "prune_logs",
      [](const std::string& profile_dir, std::size_t files_max, std::uint64_t bytes_max) {
        const py::gil_scoped_release unlocked;
        return prune_logs(profile_dir, {.files_max = files_max, .bytes_max = bytes_max});
      },
      "profile_dir"_a, "files_max"_a = LogLimits{}.files_max,
      "bytes_max"_a = LogLimits{}.bytes_max);
  py::class_<LauncherHandle> bound(module, "Launcher");
  bound.def_static("make", &make, "role"_a, "name"_a, "options"_a = py::dict{})
      .def_static("restore", &restore, "role"_a, "name"_a, "state"_a, "options"_a = py::dict{})
      .def_static(
          "names", [](const std::string& role) { return launcher_names(parse_role(role)); },
          "role"_a)
      .def_static("short_name", &short_name, "role"_a, "name"_a)
      .def("class_name",
           [](LauncherHandle& self) {
             return self.call([](const Launcher& launcher) { return launcher.class_name(); });
           })
      .def(
          "start",
          [](LauncherHandle& self, int n) {
            self.check([n](Launcher& launcher) { return launcher.start(n); });
          },
          "n"_a = 1)
      .def(
          "restart",
          [](LauncherHandle& self, int index) {
            self.check([index](Launcher& launcher) { return launcher.restart(index); });
          },
          "index"_a)
      .def("poll", &poll)
      .def("poll_step",
           [](LauncherHandle& self) {
             const Duration step =
                 self.call([](const Launcher& launcher) { return launcher.poll_step(); });
             return std::chrono::duration<double>(step).count();
           })
      .def("warnings",
           [](LauncherHandle& self) {
             return self.call([](Launcher& launcher) { return launcher.take_warnings(); });
           })
      .def("queued",
           [](LauncherHandle& self) {
             return self.call([](const Launcher& launcher) { return launcher.queued(); });
           })
      .def("stop_grace", [](LauncherHandle& self) {
        const Duration grace =
            self.call([](const Launcher& launcher) { return launcher.stop_grace(); });
        return std::chrono::duration<double>(grace).count();
      });
  add_controls(bound);
}

}  // namespace ipf::bindings
