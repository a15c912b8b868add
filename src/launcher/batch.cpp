#include "launcher/batch.hpp"

#include <algorithm>
#include <chrono>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <regex>
#include <system_error>
#include <utility>

#include "core/file_io.hpp"
#include "core/log.hpp"
#include "core/text.hpp"
#include "launcher/file_descriptor.hpp"
#include "launcher/process_table.hpp"
#include "launcher/template_format.hpp"

namespace ipf {

using nlohmann::json;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration pump_step = milliseconds{50};        // while a command runs
constexpr Duration first_query = milliseconds{1000};    // after the submission
constexpr Duration stopping_query = milliseconds{300};  // while the job is to end
constexpr Duration appear_time = seconds{15};           // in which a new job must be listed
constexpr int failed_queries_warned = 3;

Result<void> write_script(const std::filesystem::path& file, const std::string& text) {
  std::error_code failure;
  std::filesystem::remove(file, failure);
  const FileDescriptor out{open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700)};
  const int error = !out ? errno : write_all(out.get(), text);
  if (error != 0) {
    return unexpected(ErrorCode::io,
                      "cannot write the batch script " + file.string() + ": " + errno_text(error));
  }
  return {};
}

/// A value that stands in a directive must not end its line.
bool one_line(const std::string& text) {
  return std::ranges::none_of(text, [](unsigned char c) { return c < ' '; });
}

/// "x" for "x.log": our scripts add what the task needs.
std::string without_suffix(const std::string& file) {
  constexpr std::string_view suffix = ".log";
  return file.ends_with(suffix) ? file.substr(0, file.size() - suffix.size()) : file;
}

std::string set_lines(const std::vector<EnvironmentChange>& environment) {
  std::string out;
  for (const auto& [name, value] : environment) {
    out += value ? "export " + name + "=" + shell_word(*value) + "\n" : "unset " + name + "\n";
  }
  return out;
}

}  // namespace

BatchLauncher::BatchLauncher(LauncherRole role,
                             LaunchOptions options,
                             std::unique_ptr<BatchSystem> system,
                             BatchSystem::Names names,
                             BatchSettings settings)
    : role_(role),
      options_(std::move(options)),
      system_(std::move(system)),
      names_(std::move(names)),
      settings_(std::move(settings)) {}

std::string BatchLauncher::class_name() const {
  return launcher_class_name(names_.prefix, role_);
}

BatchJob BatchLauncher::job(int engines) const {
  const bool controller = role_ == LauncherRole::controller;
  std::error_code failure;
  const std::filesystem::path work_dir =
      options_.work_dir.empty() ? std::filesystem::current_path(failure) : options_.work_dir;
  BatchJob out{.role = role_, .n = engines, .array = array_};
  out.name = (controller ? "ipcontroller" : "ipengine") + options_.paths.dashed_id();
  out.queue = settings_.queue;
  out.walltime = settings_.walltime;
  for (const auto& row : table(settings_.options, '\n')) {
    out.options.push_back(row.front());
  }
  const std::filesystem::path log =
      controller ? controller_log(options_) : engine_log(options_, "");
  out.log_stem = (log.parent_path() / log.stem()).string();
  if (!controller) {
    out.log_stem.pop_back();  // the dash in front of an engine's number
  }
  if (!settings_.output_file.empty()) {
    out.log_stem = settings_.output_file;
  }
  const std::string name = names_.scripts + (controller ? "_controller" : "_engines");
  out.script =
      settings_.batch_file_name.empty()
          ? options_.paths.log() / (name + options_.paths.dashed_id() +
                                    (controller ? "" : "-" + options_.set_id) + names_.extension)
          : work_dir / settings_.batch_file_name;
  out.environment = cluster_environment(options_);
  out.work_dir = work_dir;
  out.setup = set_lines(out.environment) + "cd " + shell_word(work_dir.string()) + " || exit\n";
  std::vector<std::string> words = options_.command;
  words.insert(words.end(), options_.args.begin(), options_.args.end());
  out.command = shell_words(words);
  return out;
}

json BatchLauncher::template_scope(int engines) const {
  const BatchJob described = job(engines);
  json environment = json::object();
  for (const auto& [name, value] : described.environment) {
    if (value) {
      environment[name] = *value;
    }
  }
  json scope = {{"n", engines},
                {"queue", settings_.queue},
                {"walltime", settings_.walltime},
                {"timelimit", settings_.walltime},
                {"options", settings_.options},
                {"profile_dir", options_.paths.dir.string()},
                {"cluster_id", options_.paths.cluster_id},
                {"set_id", options_.set_id},
                {"work_dir", described.work_dir.string()},
                {"output_file", described.log_stem + ".log"},
                {"program", shell_words(options_.command)},
                {"program_args", shell_words(options_.args)},
                {"program_and_args", described.command},
                {"environment_json", dump_state(environment)}};
  system_->add_names(scope);
  scope.update(settings_.name_space);
  return scope;
}

Result<std::string> BatchLauncher::script(int engines) {
  if (!settings_.batch_template.empty()) {
    return format_template(settings_.batch_template, template_scope(engines));
  }
  array_ = role_ == LauncherRole::engines && system_->uses_arrays();
  return system_->script(job(engines));
}

Result<void> BatchLauncher::start(int engines) {
  engines_ = role_ == LauncherRole::controller ? 1 : engines;
  if (engines_ == 0) {
    forgotten_ = true;
    return {};
  }
  Result<std::string> text = script(engines_);
  if (!text) {
    return unexpected(text.error());
  }
  script_text_ = std::move(*text);
  const BatchJob described = job(engines_);
  IPF_TRY(write_script(described.script, script_text_));
  const bool arrays = array_;
  for (int i = 0; i < (arrays ? engines_ : 1); ++i) {
    tasks_.push_back({.number = arrays ? std::optional{names_.first_task + i} : std::nullopt});
  }
  std::vector<std::string> argv = names_.submit;
  if (!system_->script_on_stdin()) {
    append(argv, system_->submit_arguments(described.script.string()));
  }
  auto command = run(argv, system_->script_on_stdin() ? script_text_ : std::string{});
  if (!command) {
    tasks_.clear();
    return unexpected(command.error());
  }
  submission_ = std::move(*command);
  return {};
}

Result<std::unique_ptr<Command>> BatchLauncher::run(const std::vector<std::string>& argv,
                                                    std::string input) {
  // Some qsub leave files where they are called; our own scripts do not depend on it.
  const bool own_script = settings_.batch_template.empty();
  return Command::start({.argv = argv,
                         .environment = cluster_environment(options_),
                         .work_dir = own_script ? options_.paths.log() : options_.work_dir,
                         .input = std::move(input)});
}

Result<void> BatchLauncher::run_aside(const std::vector<std::string>& argv) {
  auto command = run(argv, {});
  if (!command) {
    return unexpected(command.error());
  }
  aside_.push_back({.name = argv.front(), .command = std::move(*command)});
  return {};
}

Result<void> BatchLauncher::run_remove(const std::string& task_id) {
  std::vector<std::string> argv = names_.remove;
  append(argv, system_->remove_arguments(task_id));
  return run_aside(argv);
}

void BatchLauncher::finish_submission(const CommandOutcome& outcome,
                                      std::vector<LaunchExit>& ended) {
  const auto fail = [&](const std::string& why) {
    forgotten_ = true;
    ended.push_back({.index = 0,
                     .pid = 0,
                     .status = outcome.success() ? ExitStatus{.code = 1} : outcome.status,
                     .output_file = {},
                     .engines = engines_,
                     .detail = names_.submit.front() + " did not take the job " +
                               job(engines_).script.string() + ": " + why});
  };
  if (!outcome.success()) {
    return fail(outcome.failure());
  }
  try {
    std::smatch match;
    const auto group = static_cast<std::size_t>(names_.job_id_group);
    if (!std::regex_search(outcome.out, match, std::regex(names_.job_id_regexp)) ||
        match.size() <= group) {
      return fail("no job id in its answer '" + printable(outcome.out) + "'");
    }
    job_id_ = match[group].str();
  } catch (const std::regex_error& error) {
    return fail("job_id_regexp '" + printable(names_.job_id_regexp) + "': " + error.what());
  }
  submitted_ = steady_now();
  next_query_ = submitted_ + (stop_ ? stopping_query : first_query);
  state_changed();
}

void BatchLauncher::poll(std::vector<LaunchExit>& ended) {
  if (submission_ && submission_->poll()) {
    finish_submission(*submission_->poll(), ended);
    submission_.reset();
  }
  if (stop_ && !removed_ && !job_id_.empty()) {
    remove();
  }
  std::erase_if(aside_, [this](Pending& pending) {
    const auto& outcome = pending.command->poll();
    if (outcome && !outcome->success() && !forgotten_) {
      warn(pending.name + ": " + outcome->failure());
    }
    return outcome.has_value();
  });
  if (query_ && query_->poll()) {
    take_answer(*query_->poll());
    query_.reset();
  } else if (!query_ && !job_id_.empty() && !forgotten_ && steady_now() >= next_query_) {
    ask();
  }
  report(ended);
}

void BatchLauncher::ask() {
  const Duration usual =
      std::chrono::duration_cast<Duration>(std::chrono::duration<double>(settings_.poll_seconds));
  next_query_ = steady_now() + (stop_ ? stopping_query : usual);
  const std::vector<std::string> argv = system_->query(job_id_);
  if (argv.empty()) {
    // Nothing can be asked: a removed job counts as gone when the command has ended.
    forgotten_ = removed_ && aside_.empty();
    return;
  }
  auto command = run(argv, {});
  if (command) {
    query_ = std::move(*command);
  } else {
    warn(command.error().message);
    next_query_ = steady_now() + appear_time;
  }
}

void BatchLauncher::take_answer(const CommandOutcome& outcome) {
  const auto listed = system_->tasks(job_id_, outcome);
  if (!listed) {
    if (++failed_queries_ == failed_queries_warned) {
      warn(system_->query(job_id_).front() + " does not say how job " + job_id_ +
           " is: " + outcome.failure());
    }
    return;
  }
  failed_queries_ = 0;
  if (state_version() == 0) {
    state_changed();  // restored, and known to its system
  }
  for (const JobTask& task : *listed) {
    auto known = std::ranges::find(tasks_, task.number, &Task::number);
    if (known == tasks_.end()) {
      if (array_) {
        continue;  // an entry for the whole job
      }
      // A user's own script: its tasks show now.
      std::erase_if(tasks_, [](const Task& old) { return !old.number && !old.seen; });
      tasks_.push_back({.number = task.number});
      known = std::prev(tasks_.end());
    }
    known->seen = true;
    known->last = task;
  }
  const auto whole =
      std::ranges::find_if(*listed, [](const JobTask& task) { return !task.number; });
  const bool late = steady_now() - submitted_ > appear_time || stop_;
  for (Task& task : tasks_) {
    if (std::ranges::find(*listed, task.number, &JobTask::number) != listed->end()) {
      continue;
    }
    if (whole != listed->end()) {
      task.seen = true;
      task.last = *whole;
    } else if ((task.seen || late) && task.last.state != JobState::ended) {
      task.last.state = JobState::ended;
      task.last.status = {.code = 0, .signal = 0, .known = false};
      task.last.text = "job " + system_->task_id(job_id_, task.number) + " is not listed any more";
    }
  }
}

void BatchLauncher::report(std::vector<LaunchExit>& ended) {
  for (Task& task : tasks_) {
    if (task.last.state != JobState::ended || task.reported) {
      continue;
    }
    task.reported = true;
    if (task.last.stuck) {
      if (const Result<void> done = run_remove(system_->task_id(job_id_, task.number)); !done) {
        warn(done.error().message);
      }
    }
    ended.push_back({.index = task.number ? *task.number - names_.first_task : 0,
                     .pid = 0,
                     .status = task.last.status,
                     .output_file = log_of(task),
                     .engines = task.number ? 1 : engines_,
                     .detail = task.last.text});
  }
  if (!tasks_.empty() && std::ranges::all_of(tasks_, &Task::reported)) {
    forgotten_ = true;
  }
}

Duration BatchLauncher::poll_step() const {
  if (submission_ || query_ || !aside_.empty()) {
    return pump_step;
  }
  if (job_id_.empty() || forgotten_) {
    return Launcher::poll_step();
  }
  return std::max<Duration>(next_query_ - steady_now(), milliseconds{1});
}

Duration BatchLauncher::stop_grace() const {
  return seconds{30};  // a scheduler takes its rounds
}

bool BatchLauncher::running() {
  return submission_ || !aside_.empty() || (!job_id_.empty() && !forgotten_);
}

bool BatchLauncher::queued() const {
  return !forgotten_ && (submission_ || std::ranges::any_of(tasks_, [](const Task& task) {
                           return task.last.state == JobState::queued;
                         }));
}

bool BatchLauncher::can_signal(int /*number*/, std::optional<int> index) const {
  // Without its command (Slurm's qsub has no qsig) it cannot either.
  return !names_.signal.empty() && find_program(names_.signal.front()) && (!index || array_);
}

Result<std::string> BatchLauncher::target(std::optional<int> index) const {
  if (!index) {
    return system_->task_id(job_id_, std::nullopt);
  }
  if (!array_) {
    return unexpected(ErrorCode::unavailable, "job " + job_id_ + " of " + class_name() +
                                                  " is no array: engines cannot be told apart");
  }
  if (*index < 0 || *index >= engines_) {
    return unexpected(ErrorCode::not_found,
                      "there is no engine " + std::to_string(*index) + " in this set");
  }
  return system_->task_id(job_id_, names_.first_task + *index);
}

Result<void> BatchLauncher::signal(int number, std::optional<int> index) {
  if (names_.signal.empty()) {
    return unexpected(ErrorCode::unavailable,
                      names_.prefix + " has no command that sends a signal to a job");
  }
  const Result<std::string> whom = target(index);
  if (!whom) {
    return unexpected(whom.error());
  }
  if (!running() || job_id_.empty()) {
    return {};
  }
  std::vector<std::string> argv = names_.signal;
  append(argv, system_->signal_arguments(number, *whom, script_text_));
  return run_aside(argv);
}

void BatchLauncher::remove() {
  removed_ = true;
  next_query_ = std::min(next_query_, steady_now() + stopping_query);
  const std::string whom = system_->task_id(job_id_, std::nullopt);
  const Result<void> done =
      stop_ == StopLevel::kill ? run_aside(system_->kill_command(whom)) : run_remove(whom);
  if (!done) {
    warn(done.error().message);
  }
}

Result<void> BatchLauncher::stop(StopLevel level, std::optional<int> index) {
  if (index) {
    const Result<std::string> whom = target(index);
    if (!whom) {
      return unexpected(whom.error());
    }
    return job_id_.empty() ? Result<void>{} : run_remove(*whom);
  }
  if (!stop_ || *stop_ != level) {
    stop_ = level;
    removed_ = false;
  }
  if (!removed_ && !job_id_.empty() && !forgotten_) {
    remove();
  }
  return {};
}

LauncherState BatchLauncher::state() const {
  LauncherState out{.kind = names_.kind};
  if (job_id_.empty() || forgotten_) {
    return out;
  }
  const BatchJob described = job(engines_);
  json state = base_state(options_);
  state["job_id"] = job_id_;
  state["n"] = engines_;
  state["job_array"] = array_;
  state["batch_file_name"] = described.script.string();
  state["batch_template"] = settings_.batch_template;
  state["output_file"] = described.log_stem + (array_ ? "" : ".log");
  state["queue"] = settings_.queue;
  state["namespace"] = settings_.name_space;
  state["delete_command"] = names_.remove;
  state["signal_command"] = names_.signal;
  out.state_json = dump_state(state);
  out.engines = role_ == LauncherRole::controller
                    ? 0
                    : static_cast<int>(std::ranges::count(tasks_, false, &Task::reported));
  return out;
}

Result<void> BatchLauncher::restore(const std::string& state_json) {
  LauncherSettings state(class_name(), state_json);
  std::string log;
  state.read_scalar("job_id", job_id_);
  state.read("n", engines_);
  state.read("job_array", array_);
  state.read("output_file", log);
  state.read("batch_file_name", settings_.batch_file_name);
  state.read("batch_template", settings_.batch_template);
  state.read("queue", settings_.queue);
  state.read("namespace", settings_.name_space);
  state.read("delete_command", names_.remove);
  state.read("signal_command", names_.signal);
  if (job_id_.empty()) {
    return nothing_runs(class_name());
  }
  settings_.output_file = without_suffix(log);
  std::ifstream script(settings_.batch_file_name, std::ios::binary);
  script_text_.assign(std::istreambuf_iterator<char>(script), {});
  constexpr int tasks_max = 1'000'000;
  engines_ = std::clamp(engines_, 1, tasks_max);
  for (int i = 0; i < (array_ ? engines_ : 1); ++i) {
    tasks_.push_back({.number = array_ ? std::optional{names_.first_task + i} : std::nullopt,
                      .last = {},
                      .seen = true});
  }
  submitted_ = next_query_ = steady_now();
  return {};
}

std::string BatchLauncher::log_of(const Task& task) const {
  return system_->log_of(job(engines_), task.number.value_or(0));
}

std::vector<std::filesystem::path> BatchLauncher::output_files() const {
  std::vector<std::filesystem::path> out;
  for (const Task& task : tasks_) {
    out.emplace_back(log_of(task));
  }
  return out;
}

namespace {

Result<void> read_template_file(BatchSettings& settings) {
  if (settings.batch_template_file.empty() || !settings.batch_template.empty()) {
    return {};
  }
  std::ifstream in(settings.batch_template_file, std::ios::binary);
  settings.batch_template.assign(std::istreambuf_iterator<char>(in), {});
  if (settings.batch_template.empty()) {
    return unexpected(ErrorCode::invalid_argument, "the batch template " +
                                                       printable(settings.batch_template_file) +
                                                       " cannot be read, or is empty");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Launcher>> make_batch_launcher_of(std::unique_ptr<BatchSystem> system,
                                                         LauncherRole role,
                                                         LaunchOptions options) {
  BatchSettings own;
  LauncherSettings settings(launcher_class_name(system->names().prefix, role),
                            options.settings_json);
  system->read(settings);
  BatchSystem::Names names = system->names();
  settings.read_common(role, options);
  settings.read("queue", own.queue);
  settings.read_scalar("timelimit", own.walltime);
  settings.read_scalar("walltime", own.walltime);
  settings.read("options", own.options);
  settings.read("batch_template", own.batch_template);
  settings.read("batch_template_file", own.batch_template_file);
  settings.read("batch_file_name", own.batch_file_name);
  settings.read("output_file", own.output_file);
  settings.read("namespace", own.name_space);
  settings.read("poll_seconds", own.poll_seconds);
  settings.read("submit_command", names.submit);
  settings.read("delete_command", names.remove);
  settings.read("signal_command", names.signal);
  settings.read("job_id_regexp", names.job_id_regexp);
  settings.read("job_id_regexp_group", names.job_id_group);
  IPF_TRY(settings.finish());
  if (own.batch_file_name.empty()) {
    own.batch_file_name = names.file_name;
  }
  for (const std::string* const value : {&own.queue, &own.walltime, &options.set_id}) {
    if (!one_line(*value)) {
      return unexpected(
          ErrorCode::invalid_argument,
          "'" + printable(*value) + "' must be one line: it stands in a batch script");
    }
  }
  if (!options.restoring && (names.submit.empty() || names.remove.empty())) {
    return unexpected(ErrorCode::invalid_argument,
                      launcher_class_name(names.prefix, role) +
                          " needs the settings submit_command and delete_command");
  }
  IPF_TRY(read_template_file(own));
  return std::unique_ptr<Launcher>{std::make_unique<BatchLauncher>(
      role, std::move(options), std::move(system), std::move(names), std::move(own))};
}

}  // namespace ipf
