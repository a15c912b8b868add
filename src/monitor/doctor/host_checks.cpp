#include <array>
#include <iomanip>
#include <sstream>
#include <string>

#include "monitor/doctor/checks.hpp"
#include "monitor/top/figures_text.hpp"

namespace ipf::doctor {

namespace {

constexpr unsigned others_may_anything = 077;
constexpr unsigned others_may_write = 022;

std::string octal(unsigned mode) {
  std::ostringstream out;
  out << std::setfill('0') << std::setw(4) << std::oct << mode;
  return out.str();
}

void check_directories(const Facts& facts, Findings& out) {
  for (const FileFacts& directory : facts.host.directories) {
    Finding finding{.what = "directory", .detail = directory.path + ", " + octal(directory.mode)};
    const bool secret = directory.path.ends_with("/security");
    if (!directory.problem.empty()) {
      finding.verdict = Verdict::fail;
      finding.detail = directory.path + ": " + directory.problem;
      finding.fix = "give this user access to it, or choose another with --profile-dir";
    } else if (!directory.directory) {
      finding.verdict = Verdict::fail;
      finding.detail = directory.path + " is no directory";
      finding.fix = "move it away: rm or mv " + directory.path;
    } else if (!directory.mine) {
      finding.verdict = Verdict::fail;
      finding.detail += ", belongs to another user";
      finding.fix = "use a profile directory of your own (--profile-dir), or chown it";
    } else if ((directory.mode & (secret ? others_may_anything : others_may_write)) != 0) {
      finding.verdict = secret ? Verdict::fail : Verdict::warn;
      finding.detail += secret ? ", open to other users" : ", other users may write there";
      finding.fix = "chmod 700 " + directory.path;
    }
    out.push_back(std::move(finding));
  }
  if (!facts.host.profile_exists) {
    out.push_back({.what = "directory", .detail = "the profile is made at the first start"});
  }
}

void check_descriptors(const Facts& facts, Findings& out) {
  // Connections of the controller: for an engine, for a client, and files of its own.
  constexpr std::uint64_t of_engine = 8;
  constexpr std::uint64_t of_clients = 60;
  constexpr std::uint64_t of_itself = 60;
  constexpr std::uint64_t comfortable = 1024;
  const std::uint64_t needed = of_itself + of_clients + of_engine * engines_expected(facts);
  const std::uint64_t hard = facts.host.descriptors_hard;
  Finding finding{.what = "descriptors",
                  .detail = "at most " + std::to_string(hard) + " open files, " +
                            std::to_string(needed) + " needed for " +
                            std::to_string(engines_expected(facts)) + " engines and ten clients"};
  if (hard < needed) {
    finding.verdict = Verdict::fail;
  } else if (hard < comfortable) {
    finding.verdict = Verdict::warn;
  }
  if (finding.verdict != Verdict::ok) {
    finding.fix =
        "raise the hard limit (ulimit -Hn) in /etc/security/limits.conf or the batch "
        "system's settings; ipcontroller raises the soft one by itself";
  }
  out.push_back(std::move(finding));
}

void check_disks(const Facts& facts, Findings& out) {
  for (const DiskFacts& disk : facts.host.disks) {
    out.push_back(disk_finding(disk, "disk " + disk.what));
  }
}

void check_programs(const Facts& facts, Findings& out) {
  for (const ProgramFacts& program : facts.host.programs) {
    Finding finding{.what = "program",
                    .detail = program.name + " " + program.version + " (" + program.path + ")"};
    if (!program.problem.empty()) {
      finding.verdict = Verdict::fail;
      finding.detail = program.name + ": " + program.problem;
      finding.fix = "install all of ipyfleet's programs into one directory";
    } else if (program.version != facts.host.own_version) {
      finding.verdict = Verdict::fail;
      finding.detail += ", but ipcluster is " + facts.host.own_version;
      finding.fix = "install the same version of all three programs";
    }
    out.push_back(std::move(finding));
  }
}

void check_python(const Facts& facts, Findings& out) {
  if (!facts.host.python) {
    return;
  }
  const PythonFacts& python = *facts.host.python;
  Finding finding{.what = "python",
                  .detail = python.path + " " + python.version + ", IPython " + python.ipython};
  if (!python.problem.empty()) {
    finding.verdict = Verdict::fail;
    finding.detail = python.path + (python.path.empty() ? "" : ": ") + python.problem;
    finding.fix = "activate the environment of the engines, or give it: ipcluster start --python";
  } else if (python.ipython.empty()) {
    finding.verdict = Verdict::fail;
    finding.detail = python.path + " cannot import IPython (chosen by " + python.why + ")";
    finding.fix = python.path + " -m pip install ipython";
  } else if (!python.package.empty() && python.package != facts.host.own_version) {
    finding.verdict = Verdict::warn;
    finding.detail += ", its package ipyfleet is " + python.package + ", the programs are " +
                      facts.host.own_version;
    finding.fix = python.path + " -m pip install --upgrade ipyfleet";
  }
  out.push_back(std::move(finding));
}

void check_host_name(const Facts& facts, Findings& out) {
  Finding finding{.what = "host name", .detail = facts.host.host + " resolves"};
  if (!facts.host.host_problem.empty()) {
    finding.verdict = Verdict::warn;
    finding.detail = facts.host.host + ": " + facts.host.host_problem;
    finding.fix =
        "only engines on other hosts need it: add it to DNS or /etc/hosts, or start with "
        "--location=ADDRESS";
  }
  out.push_back(std::move(finding));
}

void check_commands(const Facts& facts, Findings& out) {
  for (const CommandFacts& command : facts.host.commands) {
    Finding finding{.what = "launcher " + command.launcher,
                    .detail = command.name + " is " + command.path};
    if (command.path.empty()) {
      finding.verdict = Verdict::fail;
      finding.detail = command.name + " is not on PATH";
      finding.fix = "load the module or install the package that has " + command.name +
                    ", or choose another launcher (--engines, --controller)";
    }
    out.push_back(std::move(finding));
  }
}

constexpr std::array<Check, 7> all{check_directories, check_descriptors, check_disks,
                                   check_programs,    check_python,      check_host_name,
                                   check_commands};

}  // namespace

Finding disk_finding(const DiskFacts& disk, const std::string& what) {
  constexpr std::uint64_t nearly_nothing = 10U << 20U;
  constexpr std::uint64_t little = 500U << 20U;
  Finding out{
      .what = what,
      .detail = disk.path + ", " + top::bytes_text(static_cast<double>(disk.free_bytes)) + " free"};
  if (!disk.problem.empty()) {
    out.verdict = Verdict::warn;
    out.detail = disk.path + ": " + disk.problem;
  } else if (!disk.writable) {
    out.verdict = Verdict::fail;
    out.detail = disk.path + " cannot be written to";
  } else if (disk.free_bytes < nearly_nothing || disk.free_files == 0) {
    out.verdict = Verdict::fail;
    out.detail += disk.free_files == 0 ? ", but room for no file" : "";
  } else if (disk.free_bytes < little) {
    out.verdict = Verdict::warn;
  }
  if (out.verdict != Verdict::ok) {
    out.fix = "make room in " + disk.path + ", or use another place";
  }
  return out;
}

std::span<const Check> host_checks() {
  return all;
}

}  // namespace ipf::doctor
