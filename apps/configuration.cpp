#include "apps/configuration.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string_view>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "apps/options.hpp"
#include "apps/python_helper.hpp"
#include "core/profile.hpp"

namespace ipf {

namespace {

using nlohmann::json;

constexpr std::string_view no_config = "--no-config";
/// Options of ipyparallel that only the table of ipyfleet.config knows.
constexpr std::array<std::string_view, 9> only_python_knows{
    "--help-all",  "--show-config", "--show-config-json",
    "--transport", "--log-to-file", "--log-url",
    "--init",      "--user",        "--ident"};

struct Places {
  ProfileOptions profile{};
  std::string config{};
};

/// Looks only for the options that say where files are; everything else is for later.
Places find_places(const std::vector<std::string>& arguments) {
  Places out;
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  app.option_defaults()->take_last();
  add_profile_options(app, out.profile);
  app.add_option("--config", out.config);
  std::vector<std::string> reversed(arguments.begin(), std::ranges::find(arguments, "--"));
  std::ranges::reverse(reversed);
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError&) {
    return out;  // the program's own parser will say what is wrong
  }
  return out;
}

bool is_trait(const std::string& argument) {
  const std::string name = argument.substr(0, argument.find('='));
  return name.size() > 3 && name.starts_with("--") &&
         std::isupper(static_cast<unsigned char>(name[2])) != 0 &&
         name.find('.') != std::string::npos;
}

bool needs_python(const std::vector<std::string>& arguments, const KnownOption& known) {
  const auto end = std::ranges::find(arguments, "--");
  return std::any_of(arguments.begin(), end, [&](const std::string& argument) {
    const std::string name = argument.substr(0, argument.find('='));
    return (is_trait(argument) ||
            std::ranges::find(only_python_knows, name) != only_python_knows.end()) &&
           !known(name);
  });
}

bool has_files(const std::string& program, const std::filesystem::path& profile_dir) {
  std::error_code failure;
  return std::filesystem::exists(profile_dir / (program + "_config.py"), failure) ||
         std::filesystem::exists(profile_dir / (program + "_config.json"), failure);
}

/// Does what the answer of ipyfleet.config says.
std::variant<Configured, int> apply(const std::string& program, const json& answer, bool quiet) {
  if (answer.contains("error")) {
    std::cerr << program << ": " << answer["error"].get<std::string>() << '\n';
    return usage_error;
  }
  if (answer.contains("text")) {
    std::cout << answer["text"].get<std::string>();
    return EXIT_SUCCESS;
  }
  for (const auto& [name, value] : answer["environment"].items()) {
    setenv(name.c_str(), value.get<std::string>().c_str(), 0);  // NOLINT(concurrency-mt-unsafe)
  }
  for (const auto& note : answer["notes"]) {
    if (!quiet) {
      std::cerr << program << ": " << note.get<std::string>() << '\n';
    }
  }
  Configured out{.arguments = answer["arguments"].get<std::vector<std::string>>()};
  const auto settings = [&answer](const char* name) {
    return answer.contains(name) ? answer[name].dump() : std::string{};
  };
  out.controller_settings = settings("controller_settings");
  out.engine_settings = settings("engine_settings");
  return out;
}

}  // namespace

std::variant<Configured, int> configure(const std::string& program,
                                        std::vector<std::string> arguments,
                                        const KnownOption& known) {
  if (std::erase(arguments, no_config) > 0) {
    return Configured{.arguments = std::move(arguments)};
  }
  Places places = find_places(arguments);
  const auto paths = locate_profile(with_environment(places.profile));
  const std::filesystem::path profile_dir = paths ? paths->dir : std::filesystem::path{};
  const bool files = paths && has_files(program, profile_dir);
  if (!files && places.config.empty() && !needs_python(arguments, known)) {
    return Configured{.arguments = std::move(arguments)};
  }
  const json question = {{"program", program},
                         {"profile_dir", profile_dir.string()},
                         {"config", places.config},
                         {"arguments", arguments}};
  constexpr auto limit = std::chrono::seconds{30};
  const auto text = ask_python("ipyfleet.config", question.dump(), limit);
  if (!text) {
    std::cerr << program << ": the configuration cannot be read: " << text.error().message << '\n';
    return usage_error;
  }
  const json answer = json::parse(*text, nullptr, false);
  if (!answer.is_object()) {
    std::cerr << program << ": the configuration cannot be read: Python answered nonsense\n";
    return usage_error;
  }
  const bool quiet = std::ranges::find(arguments, "--quiet") != arguments.end();
  return apply(program, answer, quiet);
}

}  // namespace ipf
