// "Batch": any system whose commands the user names. It gets a template, and is asked nothing.
#include "launcher/batch_system.hpp"

namespace ipf {

namespace {

class GenericBatch final : public BatchSystem {
 public:
  [[nodiscard]] Names names() const override {
    return {.kind = "batch", .prefix = "Batch", .scripts = "batch"};
  }

  [[nodiscard]] bool uses_arrays() const override { return false; }

  [[nodiscard]] Result<std::string> script(const BatchJob& job) const override {
    if (job.role == LauncherRole::engines && job.n > 1) {
      return unexpected(ErrorCode::invalid_argument,
                        "the generic batch launcher does not know how its system starts " +
                            std::to_string(job.n) +
                            " engines: it needs batch_template or batch_template_file");
    }
    return shell_script("#", job.options,
                        "exec >>" + shell_word(job.log_stem + ".log") + " 2>&1\n" + job.setup +
                            "exec " + job.command + "\n");
  }

  [[nodiscard]] std::vector<std::string> query(const std::string& /*job*/) const override {
    return {};
  }

  std::optional<std::vector<JobTask>> tasks(const std::string& /*job*/,
                                            const CommandOutcome& /*answer*/) override {
    return std::nullopt;
  }

  [[nodiscard]] std::vector<std::string> kill_command(
      const std::string& /*target*/) const override {
    return {};
  }
};

}  // namespace

std::unique_ptr<BatchSystem> make_generic_batch() {
  return std::make_unique<GenericBatch>();
}

}  // namespace ipf
