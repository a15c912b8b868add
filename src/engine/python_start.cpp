#include "engine/python_start.hpp"

#include <Python.h>

#include <array>
#include <csignal>
#include <string>

namespace ipf::engine {

namespace {

bool check(const PyStatus& status, Log& log) {
  if (PyStatus_Exception(status) == 0) {
    return true;
  }
  log.error(std::string("Python cannot be started: ") +
            (status.err_msg == nullptr ? "unknown reason" : status.err_msg));
  return false;
}

}  // namespace

bool start_interpreter(const std::filesystem::path& program, Log& log) {
  // Shells start background jobs (`ipengine &` in a script) with SIGINT ignored, and then Python
  // would not install its handler: interrupts by clients would do nothing.
  std::signal(SIGINT, SIG_DFL);
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  config.parse_argv = 0;
  // Both: without them sys.executable would be this program, and code that starts a Python by it
  // would start engines without end.
  const std::string executable = program.string();
  bool good =
      check(PyConfig_SetBytesString(&config, &config.program_name, executable.c_str()), log) &&
      check(PyConfig_SetBytesString(&config, &config.executable, executable.c_str()), log);
  std::string empty;
  std::array<char*, 1> argv{empty.data()};
  good = good && check(PyConfig_SetBytesArgv(&config, argv.size(), argv.data()), log) &&
         check(Py_InitializeFromConfig(&config), log);
  PyConfig_Clear(&config);
  return good;
}

}  // namespace ipf::engine
