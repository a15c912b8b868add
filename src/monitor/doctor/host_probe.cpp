#include "monitor/doctor/host_probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <netdb.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <thread>
#include <unistd.h>

#include "core/text.hpp"
#include "launcher/command.hpp"
#include "monitor/doctor/python_source.hpp"
#include "protocol/json_text.hpp"

namespace ipf::doctor {

namespace {

/// A command that a launcher runs on the host where ipcluster is, and the setting that replaces it.
struct LauncherCommand {
  const char* launcher{};
  const char* setting{};
  const char* name{};
};

constexpr std::array launcher_commands{
    LauncherCommand{"mpi", "mpi_cmd", "mpiexec"},
    LauncherCommand{"ssh", "ssh_cmd", "ssh"},
    LauncherCommand{"sshproxy", "ssh_cmd", "ssh"},
    LauncherCommand{"slurm", "submit_command", "sbatch"},
    LauncherCommand{"slurm", "", "squeue"},
    LauncherCommand{"slurm", "delete_command", "scancel"},
    LauncherCommand{"pbs", "submit_command", "qsub"},
    LauncherCommand{"pbs", "", "qstat"},
    LauncherCommand{"pbs", "delete_command", "qdel"},
    LauncherCommand{"sge", "submit_command", "qsub"},
    LauncherCommand{"sge", "", "qstat"},
    LauncherCommand{"sge", "delete_command", "qdel"},
    LauncherCommand{"lsf", "submit_command", "bsub"},
    LauncherCommand{"lsf", "", "bjobs"},
    LauncherCommand{"lsf", "delete_command", "bkill"},
    LauncherCommand{"htcondor", "submit_command", "condor_submit"},
    LauncherCommand{"htcondor", "", "condor_q"},
    LauncherCommand{"htcondor", "delete_command", "condor_rm"},
    LauncherCommand{"winhpc", "job_cmd", "job"},
    LauncherCommand{"batch", "submit_command", ""},
    LauncherCommand{"batch", "delete_command", ""}};

/// The program of a setting, which is a command of several words or a text.
std::string program_in(const Json& settings, const char* setting, std::string otherwise) {
  const auto found = settings.find(setting);
  if (found == settings.end()) {
    return otherwise;
  }
  const Json& first = found->is_array() && !found->empty() ? found->front() : *found;
  return first.is_string() ? first.get<std::string>() : std::move(otherwise);
}

void add_commands(const std::string& launcher,
                  const std::string& settings_json,
                  std::vector<CommandFacts>& out) {
  const Json settings = parse_json_object(settings_json, "settings").value_or(Json::object());
  for (const LauncherCommand& command : launcher_commands) {
    const std::string name = program_in(settings, command.setting, command.name);
    const bool known = std::ranges::any_of(out, [&](const CommandFacts& other) {
      return other.name == name && other.launcher == launcher;
    });
    if (launcher != command.launcher || name.empty() || known) {
      continue;
    }
    const Result<std::string> path = find_program(name);
    out.push_back({.name = name, .launcher = launcher, .path = path ? *path : std::string{}});
  }
}

DiskFacts disk(const std::string& what, std::filesystem::path path) {
  std::error_code failure;
  while (!std::filesystem::exists(path, failure) && path.has_parent_path() &&
         path != path.parent_path()) {
    path = path.parent_path();
  }
  DiskFacts out{.what = what, .path = path.string()};
  struct statvfs room{};
  if (statvfs(path.c_str(), &room) != 0) {
    out.problem = errno_text(errno);
    return out;
  }
  out.free_bytes = room.f_bavail * room.f_frsize;
  out.free_files = room.f_files == 0 ? 1 : room.f_favail;
  out.writable = access(path.c_str(), W_OK) == 0;
  return out;
}

std::string temporary_directory() {
  std::error_code failure;
  const auto path = std::filesystem::temp_directory_path(failure);
  return failure ? "/tmp" : path.string();
}

std::string name_problem(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  addrinfo* list = nullptr;
  const int failure = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (failure != 0) {
    return gai_strerror(failure);
  }
  freeaddrinfo(list);
  return {};
}

/// The programs that are asked; they run at the same time.
class Questions {
 public:
  explicit Questions(Duration timeout) : timeout_(timeout) {}

  using Take = std::function<void(const CommandOutcome&)>;
  /// `fail` gets the reason when it cannot be started or fails.
  void ask(std::vector<std::string> argv, Take take, std::function<void(std::string)> fail) {
    auto command = Command::start({.argv = std::move(argv), .timeout = timeout_});
    if (!command) {
      fail(command.error().message);
      return;
    }
    open_.push_back({std::move(*command), std::move(take), std::move(fail)});
  }

  void finish() {
    while (!open_.empty()) {
      std::erase_if(open_, [](Open& open) {
        const auto& outcome = open.command->poll();
        if (!outcome) {
          return false;
        }
        if (outcome->success()) {
          open.take(*outcome);
        } else {
          open.fail(outcome->timed_out ? "gave no answer in time" : outcome->failure());
        }
        return true;
      });
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  }

 private:
  struct Open {
    std::unique_ptr<Command> command;
    Take take;
    std::function<void(std::string)> fail;
  };
  Duration timeout_;
  std::vector<Open> open_;
};

void ask_version(Questions& questions, ProgramFacts& program) {
  program.path = sibling_program(program.name);
  questions.ask(
      {program.path, "--version"},
      [&program](const CommandOutcome& outcome) {
        program.version = outcome.out.substr(0, outcome.out.find_first_of("\r\n"));
        if (const std::size_t blank = program.version.rfind(' '); blank != std::string::npos) {
          program.version.erase(0, blank + 1);
        }
      },
      [&program](const std::string& why) { program.problem = why; });
}

void ask_python(Questions& questions, const PythonFinder& find, PythonFacts& python) {
  const auto found = find();
  if (!found) {
    python.problem = found.error().message;
    return;
  }
  std::tie(python.path, python.why) = *found;
  questions.ask(
      {python.path, "-c", std::string(python_facts_source)},
      [&python](const CommandOutcome& outcome) {
        const auto said = parse_json_object(outcome.out, "its answer");
        if (!said) {
          python.problem = said.error().message;
          return;
        }
        python.version = string_or(*said, "version");
        python.ipython = string_or(*said, "ipython");
        python.package = string_or(*said, "package");
      },
      [&python](const std::string& why) { python.problem = why; });
}

}  // namespace

FileFacts look_at(const std::string& path) {
  FileFacts out{.path = path};
  struct stat entry{};
  if (stat(path.c_str(), &entry) != 0) {
    out.exists = errno != ENOENT;
    out.problem = errno_text(errno);
    return out;
  }
  constexpr unsigned permissions = 07777;
  out.exists = true;
  out.mine = entry.st_uid == geteuid();
  out.directory = S_ISDIR(entry.st_mode);
  out.mode = entry.st_mode & permissions;
  if (access(path.c_str(), out.directory ? R_OK | W_OK | X_OK : R_OK) != 0) {
    out.problem = errno_text(errno);
  }
  return out;
}

HostFacts probe_host(const HostProbe& probe) {
  HostFacts out{.own_version = probe.version};
  for (const auto& path :
       {probe.paths.dir, probe.paths.security(), probe.paths.log(), probe.paths.pid()}) {
    if (FileFacts facts = look_at(path.string()); facts.exists) {
      out.directories.push_back(std::move(facts));
    }
  }
  out.profile_exists = !out.directories.empty();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.descriptors_soft = limit.rlim_cur;
    out.descriptors_hard = limit.rlim_max;
  }
  out.disks = {disk("profile", probe.paths.dir), disk("temporary", temporary_directory())};
  if (std::error_code failure; std::filesystem::exists("/dev/shm", failure)) {
    out.disks.push_back(disk("shared memory", "/dev/shm"));
  }
  out.host = host_name();
  out.host_problem = name_problem(out.host);
  add_commands(probe.controller_launcher, probe.controller_settings, out.commands);
  add_commands(probe.engine_launcher, probe.engine_settings, out.commands);
  Questions questions(probe.timeout);
  out.programs = {{.name = "ipcontroller"}};
  if (probe.find_python) {
    out.programs.push_back({.name = "ipengine"});
    out.python.emplace();
    ask_python(questions, probe.find_python, *out.python);
  }
  for (ProgramFacts& program : out.programs) {
    ask_version(questions, program);
  }
  questions.finish();
  return out;
}

}  // namespace ipf::doctor
