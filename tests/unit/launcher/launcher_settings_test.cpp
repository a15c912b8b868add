#include "launcher/launcher_settings.hpp"

#include <gtest/gtest.h>

namespace ipf {
namespace {

TEST(LauncherSettings, ReadsWhatIsThereAndKeepsDefaults) {
  LauncherSettings settings("X", R"({"queue": "long", "n": 3, "delay": 0.5, "args": ["-a", "b"],
                                     "timelimit": 30, "none": null, "namespace": {"k": 1}})");
  std::string queue;
  std::string limit;
  std::string none = "kept";
  int n = 0;
  double delay = 0;
  std::vector<std::string> args;
  nlohmann::json scope;
  settings.read("queue", queue);
  settings.read("n", n);
  settings.read("delay", delay);
  settings.read("args", args);
  settings.read("none", none);
  settings.read("namespace", scope);
  settings.read_scalar("timelimit", limit);
  ASSERT_TRUE(settings.finish());
  EXPECT_EQ(queue, "long");
  EXPECT_EQ(n, 3);
  EXPECT_EQ(delay, 0.5);
  EXPECT_EQ(args, (std::vector<std::string>{"-a", "b"}));
  EXPECT_EQ(none, "kept");
  EXPECT_EQ(scope["k"], 1);
  EXPECT_EQ(limit, "30");
}

TEST(LauncherSettings, UnknownNameListsTheKnownOnes) {
  LauncherSettings settings("SlurmEngineSetLauncher", R"({"qeue": "long"})");
  std::string text;
  settings.read("queue", text);
  settings.read("account", text);
  const Result<void> done = settings.finish();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(done.error().message,
            "SlurmEngineSetLauncher has no setting 'qeue'; known are: account, queue");
}

TEST(LauncherSettings, WrongTypeNamesSettingAndValue) {
  for (const auto& [text, part] :
       {std::pair{R"({"queue": 1})", "X.queue must be a text, not 1"},
        std::pair{R"([])", "no JSON object"}, std::pair{"{", "no JSON object"}}) {
    LauncherSettings settings("X", text);
    std::string queue;
    settings.read("queue", queue);
    const Result<void> done = settings.finish();
    ASSERT_FALSE(done) << text;
    EXPECT_NE(done.error().message.find(part), std::string::npos) << done.error().message;
  }
}

TEST(LauncherSettings, EnvironmentAndCommandsGoIntoTheOptions) {
  LauncherSettings settings("X", R"({"environment": {"A": "1", "B": 2, "C": null},
                                     "engine_cmd": ["my", "engine"], "output_limit": 50})");
  LaunchOptions options{.command = {"ipengine"}};
  settings.read_common(LauncherRole::engines, options);
  ASSERT_TRUE(settings.finish());
  EXPECT_EQ(options.command, (std::vector<std::string>{"my", "engine"}));
  EXPECT_EQ(options.environment,
            (std::vector<EnvironmentChange>{{"A", "1"}, {"B", "2"}, {"C", std::nullopt}}));
}

}  // namespace
}  // namespace ipf
