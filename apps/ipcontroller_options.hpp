#pragma once

#include <string>

#include "apps/options.hpp"
#include "controller/controller.hpp"
#include "core/profile.hpp"
#include "core/result.hpp"

namespace ipf {

/// The command line of ipcontroller before anything is looked up.
struct ControllerArguments {
  ControllerOptions controller{};
  ProfileOptions profile{};
  LogChoice log{};
  std::string ip{};
  std::string scheme{"leastload"};
  std::string keyfile{};
  std::string work_dir{};
  std::string config_file{};  ///< read before, by configure()
  bool use_threads{true};
  int broadcast_depth{1};
  int ping_ms{3000};
  double registration_timeout{30};
  std::string db_class{};  ///< empty: by the flags below, else dictdb
  bool dict_db{false};
  bool sqlite_db{false};
  bool mongo_db{false};
  bool no_db{false};
  std::string keep_results{"all"};
  std::string sqlite_location{};
  std::string sqlite_filename{"tasks.db"};
  double replay_window{600};
  double handshake_timeout{10};
};

/// Declares every option with its long trait name.
void declare_options(CLI::App& app, ControllerArguments& to);

/// Those about keys and limits for strangers; a part of declare_options().
void declare_security_options(CLI::App& app, ControllerArguments& to);

/// Those about restarts and about what waits; a part of declare_options().
void declare_restart_options(CLI::App& app, ControllerArguments& to);

/// Those about task records and their database; a part of declare_options().
void declare_database_options(CLI::App& app, ControllerArguments& to);

/// The database that the options name; an Error if there is none or more than one.
Result<StoreOptions> resolve_store(const ControllerArguments& from);

/// What the command line and the environment say, in the form that the controller takes.
Result<ControllerOptions> resolve_options(ControllerArguments& from);

}  // namespace ipf
