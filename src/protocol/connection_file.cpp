#include "protocol/connection_file.hpp"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include "core/file_io.hpp"
#include "core/text.hpp"
#include "protocol/json_text.hpp"

namespace ipf {

namespace {

using OrderedJson = nlohmann::ordered_json;
constexpr std::size_t file_bytes_max = 1UL << 20U;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

std::string because(const std::filesystem::path& path, const char* action, int code = errno) {
  return std::string("cannot ") + action + " " + path.string() + ": " + errno_text(code);
}

/// Takes typed values out of the JSON object and remembers the first problem.
class FieldReader {
 public:
  FieldReader(const Json& object, std::string_view source) : object_(object), source_(source) {}

  void text(const char* key, std::string& out, bool required) {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) {
      complain_if(required, key, "is missing");
    } else if (!found->is_string()) {
      complain_if(true, key, "is no string");
    } else {
      out = found->get<std::string>();
    }
  }
  void port(const char* key, int& out) {
    const auto found = object_.find(key);
    if (found == object_.end()) {
      complain_if(true, key, "is missing");
    } else if (!as_port(*found, out)) {
      complain_if(true, key, "is no port number");
    }
  }
  void ports(const char* key, std::vector<int>& out) {
    const auto found = object_.find(key);
    if (found == object_.end() || found->is_null()) {
      return;
    }
    const Json list = found->is_array() ? *found : Json::array({*found});
    for (const auto& item : list) {
      int number = 0;
      complain_if(!as_port(item, number), key, "holds something that is no port number");
      out.push_back(number);
    }
  }
  void complain_if(bool wrong, const char* key, const char* problem) {
    if (wrong && problem_.empty()) {
      problem_ = "connection file " + std::string(source_) + ": '" + key + "' " + problem;
    }
  }
  [[nodiscard]] const std::string& problem() const { return problem_; }

 private:
  static bool as_port(const Json& value, int& out) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
        value.get<std::int64_t>() > 65535) {
      return false;
    }
    out = value.get<int>();
    return true;
  }
  const Json& object_;
  std::string_view source_;
  std::string problem_;
};

void read_packers(FieldReader& fields) {
  for (const char* key : {"pack", "unpack"}) {
    std::string name = "json";
    fields.text(key, name, true);
    fields.complain_if(name != "json" && name != "orjson", key, "must be 'json' or 'orjson' here");
  }
}

}  // namespace

std::string connection_info_text(const ConnectionInfo& info, PeerRole role) {
  OrderedJson out;
  out["ssh"] = info.ssh;
  out["interface"] = info.interface;
  out["registration"] = info.registration;
  out["control"] = info.control;
  out["mux"] = info.mux;
  out["task"] = info.task;
  if (role == PeerRole::client) {
    out["task_scheme"] = info.task_scheme;
    out["iopub"] = info.iopub;
    out["notification"] = info.notification;
    out["broadcast"] = info.broadcast.empty() ? 0 : info.broadcast.front();
  } else {
    out["iopub"] = info.iopub;
    out["hb_ping"] = info.hb_ping;
    out["hb_pong"] = info.hb_pong;
    out["broadcast"] = info.broadcast;
  }
  out["key"] = info.key;
  out["curve_serverkey"] =
      info.curve_serverkey ? OrderedJson(*info.curve_serverkey) : OrderedJson(nullptr);
  out["location"] = info.location;
  out["pack"] = "json";
  out["unpack"] = "json";
  out["signature_scheme"] = info.signature_scheme;
  return out.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

Result<ConnectionInfo> parse_connection_info(std::string_view text,
                                             PeerRole role,
                                             std::string_view source) {
  const auto parsed = parse_json_object(text, "connection file " + std::string(source),
                                        {.bytes_max = file_bytes_max});
  if (!parsed) {
    return unexpected(parsed.error());
  }
  ConnectionInfo info;
  FieldReader fields(*parsed, source);
  const bool client = role == PeerRole::client;
  fields.text("ssh", info.ssh, false);
  fields.text("interface", info.interface, true);
  fields.text("location", info.location, false);
  fields.text("key", info.key, client);
  fields.text("signature_scheme", info.signature_scheme, true);
  std::string serverkey;
  fields.text("curve_serverkey", serverkey, false);
  if (!serverkey.empty()) {
    info.curve_serverkey = serverkey;
  }
  read_packers(fields);
  for (const auto& [key, port] : {std::pair{"registration", &info.registration},
                                  {"control", &info.control},
                                  {"mux", &info.mux},
                                  {"iopub", &info.iopub}}) {
    fields.port(key, *port);
  }
  if (client) {
    fields.text("task_scheme", info.task_scheme, true);
    fields.port("notification", info.notification);
  } else {
    fields.port("hb_ping", info.hb_ping);
    fields.port("hb_pong", info.hb_pong);
  }
  if (info.task_scheme != "none") {
    fields.port("task", info.task);
  }
  fields.ports("broadcast", info.broadcast);
  fields.complain_if(info.interface.find("://") == std::string::npos, "interface",
                     "is no 'proto://ip'");
  if (!fields.problem().empty()) {
    return unexpected(ErrorCode::malformed, fields.problem());
  }
  return info;
}

Result<std::string> read_text_file(const std::filesystem::path& path, std::size_t bytes_max) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) {
    return unexpected(errno == ENOENT ? ErrorCode::not_found : ErrorCode::io,
                      because(path, "read"));
  }
  struct stat info{};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return unexpected(ErrorCode::io, "cannot read " + path.string() + ": not a regular file");
  }
  std::string text;
  std::array<char, 8192> chunk{};
  while (true) {
    const ssize_t got = read(file.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return unexpected(ErrorCode::io, because(path, "read"));
    }
    if (got == 0) {
      return text;
    }
    text.append(chunk.data(), static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      return unexpected(ErrorCode::too_large,
                        path.string() + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
  }
}

Result<ConnectionInfo> read_connection_file(const std::filesystem::path& path, PeerRole role) {
  const auto text = read_text_file(path, file_bytes_max);
  if (!text) {
    return unexpected(text.error());
  }
  return parse_connection_info(*text, role, path.string());
}

Result<void> write_private_file(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + "." + random_hex(6) + ".tmp";
  Result<void> written;
  {
    const FileDescriptor file(
        open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (file.get() < 0) {
      return unexpected(ErrorCode::io, because(path, "write"));
    }
    if (const int code = write_all(file.get(), text); code != 0) {
      written = unexpected(ErrorCode::io, because(path, "write", code));
    }
  }
  if (written && rename(temporary.c_str(), path.c_str()) != 0) {
    written = unexpected(ErrorCode::io, because(path, "write"));
  }
  if (!written) {
    unlink(temporary.c_str());
  }
  return written;
}

Result<void> write_connection_file(const std::filesystem::path& path,
                                   const ConnectionInfo& info,
                                   PeerRole role) {
  return write_private_file(path, connection_info_text(info, role));
}

}  // namespace ipf
