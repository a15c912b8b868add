#include <CLI/CLI.hpp>

#include "apps/ipcontroller_options.hpp"

namespace ipf {

void declare_restart_options(CLI::App& app, ControllerArguments& to) {
  auto& options = to.controller;
  app.add_option("--spill-above", options.backlog.spill_above,
                 "Bytes of unanswered tasks in memory; beyond, large buffers go to disk")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--client-backlog", options.backlog.client_max,
                 "Bytes of unanswered tasks of one client; then it has to wait")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--backlog", options.backlog.all_max,
                 "Bytes of unanswered tasks of all clients; then they have to wait")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_flag("--journal", options.journal,
               "Write the task queue to disk as it changes, so that --restore can go on with it "
               "after a crash (default with --sqlitedb)");
  app.add_flag("--restore,--IPController.restore_engines", options.restore,
               "Go on where the last controller of this cluster stopped or was killed: same ports "
               "and key, its engines, and its tasks if it kept a journal");
  app.add_flag("--new-keys", options.new_keys,
               "With --restore or --reuse: make new keys; who has only the old connection files is "
               "cut off");
}

}  // namespace ipf
