#include "launcher/ipcluster_cli.hpp"

#include <csignal>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/text.hpp"
#include "launcher/ipcluster_commands.hpp"

namespace ipf {
namespace {

using Words = std::vector<std::string>;

CommandLine parse(const Words& args) {
  auto parsed = parse_ipcluster(args, "1.2.3");
  const auto* const text = std::get_if<CommandLineExit>(&parsed);
  EXPECT_EQ(text, nullptr) << (text == nullptr ? "" : text->err + text->out);
  return text == nullptr ? std::get<CommandLine>(parsed) : CommandLine{};
}

StartCommand parse_start(const Words& args) {
  return std::get<StartCommand>(parse(args).command);
}

CommandLineExit refused(const Words& args) {
  const auto parsed = parse_ipcluster(args, "1.2.3");
  const auto* const text = std::get_if<CommandLineExit>(&parsed);
  EXPECT_NE(text, nullptr);
  return text == nullptr ? CommandLineExit{} : *text;
}

TEST(IpclusterCommandLine, EnginesInAllSpellings) {
  for (const Words& args : {Words{"start", "-n", "4"},
                            {"start", "-n4"},
                            {"start", "--n=4"},
                            {"start", "--n", "4"},
                            {"-n", "4"},
                            {"--n=4"}}) {
    EXPECT_EQ(parse_start(args).engines, 4) << args.back();
  }
  EXPECT_EQ(parse_start({"start", "-n", "0"}).engines, 0);
  EXPECT_GE(parse_start({"start"}).engines, 1);
}

TEST(IpclusterCommandLine, DefaultsOfStart) {
  const StartCommand start = parse_start({"start"});
  EXPECT_EQ(start.controller_launcher, "local");
  EXPECT_EQ(start.engine_launcher, "local");
  EXPECT_EQ(start.delay_seconds, 0.0);
  EXPECT_EQ(start.engine_timeout_seconds, 60.0);
  EXPECT_FALSE(start.daemonize);
  EXPECT_FALSE(start.clean_logs);
  EXPECT_TRUE(start.controller_command.empty());
}

TEST(IpclusterCommandLine, OptionsOfStart) {
  const CommandLine line =
      parse({"start", "--engines=MPI", "--controller", "Local", "--daemonize", "--profile=p",
             "--cluster-id", "c", "--ip=*", "--location=host0", "--delay=0.5", "--clean-logs=True",
             "--debug", "--engine-cmd=python -m x 'a b'"});
  const auto& start = std::get<StartCommand>(line.command);
  EXPECT_EQ(start.engine_launcher, "MPI");
  EXPECT_EQ(start.controller_launcher, "Local");
  EXPECT_TRUE(start.daemonize);
  EXPECT_EQ(line.profile.profile, "p");
  EXPECT_EQ(line.profile.cluster_id, "c");
  EXPECT_EQ(start.ip, "*");
  EXPECT_EQ(start.location, "host0");
  EXPECT_EQ(start.delay_seconds, 0.5);
  EXPECT_TRUE(start.clean_logs);
  EXPECT_EQ(line.log_level, LogLevel::debug);
  EXPECT_EQ(start.engine_command, (Words{"python", "-m", "x", "a b"}));
}

TEST(IpclusterCommandLine, WhatFollowsTheDashesBelongsToTheController) {
  const StartCommand start = parse_start({"-n", "1", "--", "--scheme=lru", "-n", "--", "stop"});
  EXPECT_EQ(start.engines, 1);
  EXPECT_EQ(start.controller_args, (Words{"--scheme=lru", "-n", "--", "stop"}));
  EXPECT_EQ(refused({"stop", "--", "x"}).code, exit_usage);
}

TEST(IpclusterCommandLine, LaterOptionWins) {
  EXPECT_EQ(parse_start({"start", "-n", "2", "--n=3"}).engines, 3);
}

TEST(IpclusterCommandLine, OptionsMayStandBeforeTheSubcommand) {
  const CommandLine line = parse({"--profile-dir=/p", "stop", "a"});
  EXPECT_EQ(line.profile.profile_dir, "/p");
  EXPECT_EQ(std::get<StopCommand>(line.command).cluster_ids, Words{"a"});
}

TEST(IpclusterCommandLine, Stop) {
  const auto stop = std::get<StopCommand>(parse({"stop", "a", "b", "--signal=INT"}).command);
  EXPECT_EQ(stop.cluster_ids, (Words{"a", "b"}));
  EXPECT_EQ(stop.signal, SIGINT);
  EXPECT_FALSE(stop.all);
  const auto all = std::get<StopCommand>(parse({"stop", "--all"}).command);
  EXPECT_TRUE(all.all);
  EXPECT_EQ(all.signal, SIGTERM);
}

TEST(IpclusterCommandLine, List) {
  EXPECT_FALSE(std::get<ListCommand>(parse({"list"}).command).json);
  EXPECT_FALSE(std::get<ListCommand>(parse({"list", "-o", "text"}).command).json);
  EXPECT_TRUE(std::get<ListCommand>(parse({"list", "-o", "json"}).command).json);
  EXPECT_TRUE(std::get<ListCommand>(parse({"list", "--output=JSON"}).command).json);
}

TEST(IpclusterCommandLine, WrongUseIsOneLineAndCode2) {
  for (const Words& args : {Words{"start", "-n", "x"},
                            {"start", "-n", "-1"},
                            {"start", "--nonsense"},
                            {"start", "extra"},
                            {"explode"},
                            {"list", "-o", "xml"},
                            {"stop", "--signal=0"},
                            {"start", "--log-level=loud"},
                            {"start", "--delay=-1"},
                            {"start", "--engine-cmd=\"open"},
                            {"start", "-n"}}) {
    const CommandLineExit refusal = refused(args);
    EXPECT_EQ(refusal.code, exit_usage) << args.back();
    EXPECT_TRUE(refusal.err.starts_with("ipcluster: ")) << refusal.err;
    EXPECT_EQ(refusal.err.find('\n'), refusal.err.size() - 1) << refusal.err;
    EXPECT_EQ(refusal.out, "");
  }
}

TEST(IpclusterCommandLine, AMistypedSubcommandIsAnsweredWithThoseThereAre) {
  EXPECT_EQ(refused({"strat", "-n", "4"}).err,
            "ipcluster: there is no subcommand 'strat', but start, engines, stop, list, clean, "
            "doctor, top (see `ipcluster --help`)\n");
}

TEST(IpclusterCommandLine, HelpAndVersion) {
  EXPECT_EQ(refused({"--version"}).out, "1.2.3\n");
  for (const Words& args : {Words{"--help"}, {"-h"}, {"start", "--help"}, {"stop", "-h"}}) {
    const CommandLineExit help = refused(args);
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("Examples:"), std::string::npos);
    EXPECT_NE(help.out.find("Exit codes"), std::string::npos);
  }
  EXPECT_EQ(refused({}).code, exit_failed);
}

TEST(SplitWords, QuotesLikeAShell) {
  EXPECT_EQ(split_words("  a  b\tc ").value(), (Words{"a", "b", "c"}));
  EXPECT_EQ(split_words(R"('a b' "c d" e\ f "g\"h" 'i\j' "")").value(),
            (Words{"a b", "c d", "e f", "g\"h", "i\\j", ""}));
  EXPECT_EQ(split_words("").value(), Words{});
  EXPECT_EQ(split_words("$HOME `id`").value(), (Words{"$HOME", "`id`"}));
  EXPECT_FALSE(split_words("'open"));
  EXPECT_FALSE(split_words("\"open"));
}

TEST(ParseSignal, NumbersAndNames) {
  EXPECT_EQ(parse_signal("15").value(), SIGTERM);
  EXPECT_EQ(parse_signal("SIGKILL").value(), SIGKILL);
  EXPECT_EQ(parse_signal("usr1").value(), SIGUSR1);
  for (const char* text : {"", "0", "-9", "9x", "1000", "TERMINATE"}) {
    EXPECT_FALSE(parse_signal(text)) << text;
  }
}

TEST(ConnectLines, NameOnlyWhatIsNeeded) {
  const auto lines = [](const ProfileOptions& options) {
    const std::string text = connect_lines(options, locate_profile(options).value());
    EXPECT_NE(text.find("import ipyfleet as ipp\n"), std::string::npos);
    return text.substr(text.find("rc = "));
  };
  EXPECT_EQ(lines({.ipython_dir = "/ip"}), "rc = ipp.Client()\n");
  EXPECT_EQ(lines({.profile = "default", .ipython_dir = "/ip"}), "rc = ipp.Client()\n");
  EXPECT_EQ(lines({.profile = "big", .ipython_dir = "/ip", .cluster_id = "c"}),
            "rc = ipp.Client(profile=\"big\", cluster_id=\"c\")\n");
  EXPECT_EQ(lines({.profile_dir = "/a \"b\"", .ipython_dir = "/ip"}),
            "rc = ipp.Client(profile_dir=\"/a \\\"b\\\"\")\n");
}

}  // namespace
}  // namespace ipf
