#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "engine/kernel_ports.hpp"

namespace ipf::engine {

/// What the Python side of an engine is told.
struct PythonOptions {
  std::filesystem::path executable{};  ///< what sys.executable shall be
  bool is_guest{};  ///< Python was there before this code: it cannot be finalised from within
  std::string uuid{};
  std::string username{};
  bool is_kernel{};  ///< a kernel of its own: keeps the history of the user's profile
  KernelPlace kernel{};
  std::string startup_command{};
  std::string startup_script{};
  std::string profile_dir{};
  bool init_profile{};  ///< write the profile's files first, as far as they are not there
  bool use_mpi{};
  std::string mpi_module{};  ///< what initialises MPI; empty: mpi4py
  std::string init_mpi{};    ///< code to run then, instead of what belongs to the module
  /// `--Class.trait=value` of IPython's classes.
  std::map<std::string, std::map<std::string, std::string>> traits{};
};

}  // namespace ipf::engine
