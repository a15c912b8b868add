#include "protocol/connection_file.hpp"

#include <filesystem>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "protocol/json_text.hpp"
#include "unit/core/core_testing.hpp"

namespace ipf {
namespace {

using test::TempDir;

/// The cluster of protocol.md 2.1 and 2.2.
ConnectionInfo measured(PeerRole role) {
  const bool client = role == PeerRole::client;
  ConnectionInfo info{.location = "vm",
                      .key = "761fca17-e3e69a360f7f8ca9e86386d4",
                      .registration = 20100,
                      .control = client ? 20109 : 20101,
                      .mux = client ? 20110 : 20102,
                      .task = client ? 20111 : 20103,
                      .iopub = client ? 20112 : 20104};
  if (client) {
    info.notification = 20113;
    info.broadcast = {20114};
  } else {
    info.hb_ping = 20105;
    info.hb_pong = 20106;
    info.broadcast = {20107, 20108};
  }
  return info;
}

std::string golden(const std::string& name) {
  const auto text = test::read_file(std::filesystem::path(IPF_TESTS_DIR) / "golden" / name);
  EXPECT_FALSE(text.empty()) << name;
  return text;
}

Json as_json(PeerRole role) {
  return *parse_json(connection_info_text(measured(role), role));
}

/// What parsing says about the file's JSON after a change; "" when it is fine.
std::string problem(const Json& json, PeerRole role) {
  const auto info = parse_connection_info(dump_json(json), role, "F");
  return info ? "" : info.error().message;
}

std::vector<std::filesystem::path> entries(const std::filesystem::path& dir) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    out.push_back(entry.path().filename());
  }
  return out;
}

TEST(ConnectionFile, TextIsByteForByteTheGoldenFile) {
  EXPECT_EQ(connection_info_text(measured(PeerRole::client), PeerRole::client),
            golden("ipcontroller-client.json"));
  EXPECT_EQ(connection_info_text(measured(PeerRole::engine), PeerRole::engine),
            golden("ipcontroller-engine.json"));
}

TEST(ConnectionFile, TheGoldenFileIsReadBack) {
  for (const auto role : {PeerRole::client, PeerRole::engine}) {
    const auto info = parse_connection_info(
        golden(role == PeerRole::client ? "ipcontroller-client.json" : "ipcontroller-engine.json"),
        role, "F");
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(*info, measured(role));
  }
}

TEST(ConnectionFile, UnusualValuesSurvive) {
  ConnectionInfo info = measured(PeerRole::client);
  info.ssh = "user@host:22";
  info.interface = "tcp://*";
  info.location = "höst \"quoted\"\n";
  info.key = "";
  info.signature_scheme = "hmac-sha512";
  info.curve_serverkey = std::string(40, 'Z');
  info.task_scheme = "lru";
  const auto back =
      parse_connection_info(connection_info_text(info, PeerRole::client), PeerRole::client, "F");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, info);
}

TEST(ConnectionFile, EachMissingKeyIsNamed) {
  const auto check = [](PeerRole role, const std::vector<std::string>& keys) {
    for (const auto& key : keys) {
      Json json = as_json(role);
      json.erase(key);
      EXPECT_EQ(problem(json, role), "connection file F: '" + key + "' is missing");
    }
  };
  check(PeerRole::client, {"interface", "registration", "control", "mux", "task", "task_scheme",
                           "iopub", "notification", "key", "pack", "unpack", "signature_scheme"});
  check(PeerRole::engine, {"interface", "registration", "control", "mux", "task", "iopub",
                           "hb_ping", "hb_pong", "pack", "unpack", "signature_scheme"});
}

TEST(ConnectionFile, KeysThatMayBeMissingMayBeMissing) {
  for (const auto role : {PeerRole::client, PeerRole::engine}) {
    for (const std::string key : {"ssh", "curve_serverkey", "location", "broadcast"}) {
      Json json = as_json(role);
      json.erase(key);
      EXPECT_EQ(problem(json, role), "") << key;
      json[key] = nullptr;
      EXPECT_EQ(problem(json, role), "") << key;
    }
  }
  Json engine = as_json(PeerRole::engine);
  engine.erase("key");
  EXPECT_EQ(problem(engine, PeerRole::engine), "");
}

TEST(ConnectionFile, EachWrongTypeIsNamed) {
  for (const auto role : {PeerRole::client, PeerRole::engine}) {
    for (const std::string key : {"ssh", "interface", "key", "location", "signature_scheme",
                                  "curve_serverkey", "pack", "unpack"}) {
      for (const Json& wrong : {Json(1), Json::array(), Json(true)}) {
        Json json = as_json(role);
        json[key] = wrong;
        EXPECT_EQ(problem(json, role), "connection file F: '" + key + "' is no string");
      }
    }
  }
}

TEST(ConnectionFile, EachWrongPortIsNamed) {
  const auto check = [](PeerRole role, const std::vector<std::string>& keys) {
    for (const auto& key : keys) {
      for (const Json& wrong :
           {Json(0), Json(-1), Json(65536), Json("20100"), Json(1.5), Json(nullptr),
            Json::array({1}), Json(true), Json(18446744073709551615ULL)}) {
        Json json = as_json(role);
        json[key] = wrong;
        EXPECT_EQ(problem(json, role), "connection file F: '" + key + "' is no port number")
            << wrong;
      }
      for (const int right : {1, 65535}) {
        Json json = as_json(role);
        json[key] = right;
        EXPECT_EQ(problem(json, role), "") << right;
      }
    }
  };
  check(PeerRole::client, {"registration", "control", "mux", "task", "iopub", "notification"});
  check(PeerRole::engine,
        {"registration", "control", "mux", "task", "iopub", "hb_ping", "hb_pong"});
}

TEST(ConnectionFile, BroadcastIsOnePortOrAList) {
  Json json = as_json(PeerRole::engine);
  json["broadcast"] = 5;
  auto info = parse_connection_info(dump_json(json), PeerRole::engine, "F");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->broadcast, std::vector{5});
  for (const Json& wrong : {Json("5"), Json::array({5, 0}), Json::object({{"a", 1}}),
                            Json::array({Json::array({5})})}) {
    json["broadcast"] = wrong;
    EXPECT_EQ(problem(json, PeerRole::engine),
              "connection file F: 'broadcast' holds something that is no port number");
  }
}

TEST(ConnectionFile, ForeignPackersAreRefusedAndOrjsonIsJson) {
  for (const std::string key : {"pack", "unpack"}) {
    Json json = as_json(PeerRole::client);
    json[key] = "orjson";
    EXPECT_EQ(problem(json, PeerRole::client), "");
    json[key] = "pickle";
    EXPECT_EQ(problem(json, PeerRole::client),
              "connection file F: '" + key + "' must be 'json' or 'orjson' here");
  }
}

TEST(ConnectionFile, WithoutATaskSchedulerThereIsNoTaskPort) {
  Json json = as_json(PeerRole::client);
  json["task_scheme"] = "none";
  json.erase("task");
  EXPECT_EQ(problem(json, PeerRole::client), "");
}

TEST(ConnectionFile, AnInterfaceNeedsAProtocol) {
  Json json = as_json(PeerRole::client);
  json["interface"] = "127.0.0.1";
  EXPECT_EQ(problem(json, PeerRole::client), "connection file F: 'interface' is no 'proto://ip'");
}

TEST(ConnectionFile, BrokenTextNamesTheFile) {
  for (const std::string text : {"", "{", "[]", "null", "{\"ssh\": \"\xff\"}"}) {
    const auto info = parse_connection_info(text, PeerRole::client, "/dir/F");
    ASSERT_FALSE(info) << text;
    EXPECT_NE(info.error().message.find("/dir/F"), std::string::npos);
  }
}

TEST(ConnectionFile, IsWrittenForTheUserAloneWhateverTheUmask) {
  const TempDir dir;
  const mode_t before = umask(0);
  const auto written =
      write_connection_file(dir / "f.json", measured(PeerRole::client), PeerRole::client);
  umask(before);
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(test::mode_of(dir / "f.json"), 0600U);
  EXPECT_EQ(test::read_file(dir / "f.json"), golden("ipcontroller-client.json"));
  EXPECT_EQ(entries(dir.path()), std::vector<std::filesystem::path>{"f.json"})
      << "no temporary file is left";
  const auto back = read_connection_file(dir / "f.json", PeerRole::client);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, measured(PeerRole::client));
}

TEST(ConnectionFile, AReaderSeesTheOldOrTheNewFileButNeverAPart) {
  const TempDir dir;
  const auto path = dir / "f.json";
  ASSERT_TRUE(write_private_file(path, std::string(100'000, 'a')));
  const std::jthread writer([&](const std::stop_token& stop) {
    for (int i = 0; !stop.stop_requested(); ++i) {
      EXPECT_TRUE(write_private_file(path, std::string(100'000, i % 2 == 0 ? 'b' : 'a')));
    }
  });
  for (int i = 0; i < 200; ++i) {
    const auto text = read_text_file(path, 1U << 20U);
    ASSERT_TRUE(text);
    ASSERT_EQ(text->size(), 100'000U);
    ASSERT_EQ(text->find_first_not_of(text->front()), std::string::npos);
  }
}

TEST(ConnectionFile, APublicFileIsReplacedByAPrivateOne) {
  const TempDir dir;
  test::write_file(dir / "f", "old");
  ASSERT_EQ(chmod((dir / "f").c_str(), 0644), 0);
  ASSERT_TRUE(write_private_file(dir / "f", "new"));
  EXPECT_EQ(test::mode_of(dir / "f"), 0600U);
  EXPECT_EQ(test::read_file(dir / "f"), "new");
}

TEST(ConnectionFile, ASymlinkIsReplacedAndNotFollowed) {
  const TempDir dir;
  test::write_file(dir / "victim", "precious");
  std::filesystem::create_symlink(dir / "victim", dir / "f");
  ASSERT_TRUE(write_private_file(dir / "f", "new"));
  EXPECT_EQ(test::read_file(dir / "victim"), "precious");
  EXPECT_FALSE(std::filesystem::is_symlink(dir / "f"));
  EXPECT_EQ(test::read_file(dir / "f"), "new");
}

TEST(ConnectionFile, AFailedWriteNamesThePathAndLeavesNothing) {
  const TempDir dir;
  std::filesystem::create_directory(dir / "f");
  const auto on_directory = write_private_file(dir / "f", "text");
  ASSERT_FALSE(on_directory);
  EXPECT_EQ(on_directory.error().code, ErrorCode::io);
  EXPECT_NE(on_directory.error().message.find((dir / "f").string()), std::string::npos);
  EXPECT_EQ(entries(dir.path()), std::vector<std::filesystem::path>{"f"});
  const auto nowhere = write_private_file(dir / "missing" / "f", "text");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("No such file or directory"), std::string::npos);
}

TEST(ReadTextFile, TellsWhyItCannotRead) {
  const TempDir dir;
  const auto missing = read_text_file(dir / "missing", 10);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  const auto directory = read_text_file(dir.path(), 10);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().message,
            "cannot read " + dir.path().string() + ": not a regular file");
}

TEST(ReadTextFile, APipeIsRefusedInsteadOfWaitedFor) {
  const TempDir dir;
  ASSERT_EQ(mkfifo((dir / "pipe").c_str(), 0600), 0);
  const auto text = read_text_file(dir / "pipe", 10);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::io);
}

TEST(ReadTextFile, TheSizeLimitIsExact) {
  const TempDir dir;
  test::write_file(dir / "f", std::string(10'000, 'x'));
  EXPECT_EQ(read_text_file(dir / "f", 10'000).value_or("").size(), 10'000U);
  const auto text = read_text_file(dir / "f", 9'999);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::too_large);
}

TEST(ReadTextFile, AFileWithoutPermissionIsNamed) {
  if (geteuid() == 0) {
    GTEST_SKIP() << "root may read everything";
  }
  const TempDir dir;
  test::write_file(dir / "f", "x");
  chmod((dir / "f").c_str(), 0000);
  const auto text = read_text_file(dir / "f", 10);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::io);
}

}  // namespace
}  // namespace ipf
