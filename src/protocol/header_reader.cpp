#include "protocol/header_reader.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

#include <simdjson.h>

namespace ipf {

namespace ondemand = simdjson::ondemand;

namespace {

constexpr std::size_t msg_id_bytes_max = 1024;
constexpr std::size_t dependencies_max = 1'000'000;
constexpr std::int64_t priority_max = 1'000'000;
constexpr double resource_amount_max = 1e15;
constexpr std::size_t resource_name_bytes_max = 64;
constexpr std::size_t resources_max = 16;

Unexpected malformed(std::string text) {
  return unexpected(ErrorCode::malformed, std::move(text));
}

/// One parser with the scratch space for frames that have no padding of their own.
struct Reader {
  ondemand::parser parser{};
  ondemand::document document{};
  simdjson::padded_string scratch{};

  simdjson::error_code open(const Frames& frames, std::size_t index, ondemand::object& object) {
    const std::string_view text = frames[index];
    if (frames.is_packed(index)) {
      const simdjson::padded_string_view padded(text.data(), text.size(),
                                                text.size() + simdjson::SIMDJSON_PADDING);
      if (const auto failure = parser.iterate(padded).get(document)) {
        return failure;
      }
    } else {
      scratch = simdjson::padded_string(text);
      if (const auto failure = parser.iterate(scratch).get(document)) {
        return failure;
      }
    }
    return document.get_object().get(object);
  }
};

Result<void> read_string(ondemand::value value, std::string_view name, std::string_view& out) {
  if (value.get_string().get(out) != simdjson::SUCCESS) {
    return malformed("'" + std::string(name) + "' is no string");
  }
  return {};
}

Result<void> read_strings(ondemand::value value,
                          std::string_view name,
                          std::vector<std::string>& out) {
  ondemand::array items;
  if (value.get_array().get(items) != simdjson::SUCCESS) {
    return malformed("'" + std::string(name) + "' is no list");
  }
  for (auto item : items) {
    std::string_view text;
    if (item.get_string().get(text) != simdjson::SUCCESS || out.size() == dependencies_max) {
      return malformed("'" + std::string(name) + "' is no list of strings");
    }
    out.emplace_back(text);
  }
  return {};
}

Result<void> read_flag(ondemand::value value, std::string_view name, bool& out) {
  if (value.get_bool().get(out) != simdjson::SUCCESS) {
    return malformed("'" + std::string(name) + "' is neither true nor false");
  }
  return {};
}

bool is_null(ondemand::value& value) {
  ondemand::json_type type{};
  return value.type().get(type) == simdjson::SUCCESS && type == ondemand::json_type::null;
}

Result<void> read_dependency(ondemand::value value, std::string_view name, DependencySpec& out) {
  ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) {
    return malformed("'" + std::string(name) + "' cannot be read");
  }
  if (type == ondemand::json_type::null) {
    return {};
  }
  if (type == ondemand::json_type::array) {
    return read_strings(value, name, out.msg_ids);
  }
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return malformed("'" + std::string(name) + "' is neither a list nor a dictionary");
  }
  for (auto field : object) {
    std::string_view key;
    ondemand::value part;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(part) != simdjson::SUCCESS) {
      return malformed("'" + std::string(name) + "' cannot be read");
    }
    if (key == "dependencies") {
      IPF_TRY(read_strings(part, name, out.msg_ids));
    } else if (key == "all") {
      IPF_TRY(read_flag(part, "all", out.all));
    } else if (key == "success") {
      IPF_TRY(read_flag(part, "success", out.success));
    } else if (key == "failure") {
      IPF_TRY(read_flag(part, "failure", out.failure));
    }
  }
  if (!out.success && !out.failure) {
    return malformed("'" + std::string(name) + "' wants neither success nor failure");
  }
  return {};
}

Result<void> read_seconds(ondemand::value value, std::string_view name, double& out) {
  if (is_null(value)) {
    return {};
  }
  constexpr double longest = 1e9;  // about 31 years; a deadline behind it would overflow
  if (value.get_double().get(out) != simdjson::SUCCESS || std::isnan(out) || out < 0 ||
      out > longest) {
    return malformed("'" + std::string(name) + "' is no number of seconds from 0 to 1e9");
  }
  return {};
}

Result<void> read_priority(ondemand::value value, int& out) {
  if (is_null(value)) {
    return {};
  }
  std::int64_t priority = 0;
  if (value.get_int64().get(priority) != simdjson::SUCCESS || priority < -priority_max ||
      priority > priority_max) {
    return malformed("'priority' is no whole number from -1000000 to 1000000");
  }
  out = static_cast<int>(priority);
  return {};
}

/// Amounts of 0 ask for nothing and are left out.
Result<void> read_resources(ondemand::value value, ResourceMap& out) {
  if (is_null(value)) {
    return {};
  }
  ondemand::object object;
  if (value.get_object().get(object) != simdjson::SUCCESS) {
    return malformed("'resources' is no dictionary");
  }
  for (auto field : object) {
    std::string_view name;
    double amount = 0;
    if (field.unescaped_key().get(name) != simdjson::SUCCESS ||
        field.value().get_double().get(amount) != simdjson::SUCCESS || !(amount >= 0) ||
        amount > resource_amount_max) {
      return malformed("'resources' holds something else than a number from 0 to 1e15");
    }
    if (name.empty() || name.size() > resource_name_bytes_max) {
      return malformed("'resources' has a name of 0 or more than 64 bytes");
    }
    if (amount > 0) {
      out[std::string(name)] = amount;
    }
    if (out.size() > resources_max) {
      return malformed("'resources' has more than 16 names");
    }
  }
  return {};
}

Result<void> read_retries(ondemand::value value, int& out) {
  if (is_null(value)) {
    return {};
  }
  std::int64_t retries = 0;
  if (value.get_int64().get(retries) != simdjson::SUCCESS || retries < 0 ||
      retries > std::numeric_limits<int>::max()) {
    return malformed("'retries' is no count");
  }
  out = static_cast<int>(retries);
  return {};
}

/// Calls `take(key, value)` for each field of the object in the frame.
template <class Take>
Result<void> each_field(
    Reader& reader, const Message& message, std::size_t index, const char* what, Take take) {
  ondemand::object object;
  if (reader.open(message.frames(), index, object) != simdjson::SUCCESS) {
    return malformed(std::string(what) + " is no JSON object");
  }
  for (auto field : object) {
    std::string_view key;
    ondemand::value value;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS ||
        field.value().get(value) != simdjson::SUCCESS) {
      return malformed(std::string(what) + " is not valid JSON");
    }
    if (const auto taken = take(key, value); !taken) {
      return unexpected(ErrorCode::malformed, std::string(what) + ": " + taken.error().message);
    }
  }
  return {};
}

}  // namespace

struct HeaderReader::Parsers {
  Reader header{};
  Reader parent{};
  Reader metadata{};
};

HeaderReader::HeaderReader() : parsers_(std::make_unique<Parsers>()) {}
HeaderReader::HeaderReader(HeaderReader&&) noexcept = default;
HeaderReader& HeaderReader::operator=(HeaderReader&&) noexcept = default;
HeaderReader::~HeaderReader() = default;

namespace {

Result<HeaderView> read_header_frame(Reader& reader,
                                     const Message& message,
                                     std::size_t index,
                                     const char* what) {
  HeaderView out;
  const auto done =
      each_field(reader, message, index, what,
                 [&](std::string_view key, ondemand::value value) -> Result<void> {
                   if (key == "msg_id") {
                     return read_string(value, key, out.msg_id);
                   }
                   if (key == "msg_type") {
                     return read_string(value, key, out.msg_type);
                   }
                   if (key == "session") {
                     return read_string(value, key, out.session);
                   }
                   if (key == "date") {
                     return is_null(value) ? Result<void>{} : read_string(value, key, out.date);
                   }
                   return {};
                 });
  if (!done) {
    return unexpected(done.error());
  }
  if (out.msg_id.empty() || out.msg_id.size() > msg_id_bytes_max || out.msg_type.empty()) {
    return malformed(std::string(what) + " has no usable msg_id or msg_type");
  }
  return out;
}

}  // namespace

Result<HeaderView> HeaderReader::read_header(const Message& message) {
  return read_header_frame(parsers_->header, message, message.identity_count() + 2, "header");
}

Result<HeaderView> HeaderReader::read_parent(const Message& message) {
  return read_header_frame(parsers_->parent, message, message.identity_count() + 3,
                           "parent header");
}

Result<TaskOptions> HeaderReader::read_task_options(const Message& message) {
  TaskOptions out;
  const auto done =
      each_field(parsers_->metadata, message, message.identity_count() + 4, "metadata",
                 [&](std::string_view key, ondemand::value value) -> Result<void> {
                   if (key == "after") {
                     return read_dependency(value, key, out.after);
                   }
                   if (key == "follow") {
                     return read_dependency(value, key, out.follow);
                   }
                   if (key == "targets") {
                     return is_null(value) ? Result<void>{} : read_strings(value, key, out.targets);
                   }
                   if (key == "timeout") {
                     return read_seconds(value, key, out.timeout_seconds);
                   }
                   if (key == "retries") {
                     return read_retries(value, out.retries);
                   }
                   if (key == "priority") {
                     return read_priority(value, out.priority);
                   }
                   if (key == "run_timeout") {
                     return read_seconds(value, key, out.run_timeout_seconds);
                   }
                   if (key == "resources") {
                     return read_resources(value, out.resources);
                   }
                   return {};
                 });
  if (!done) {
    return unexpected(done.error());
  }
  return out;
}

Result<ReplyMetadata> HeaderReader::read_reply_metadata(const Message& message) {
  ReplyMetadata out;
  const auto done =
      each_field(parsers_->metadata, message, message.identity_count() + 4, "metadata",
                 [&](std::string_view key, ondemand::value value) -> Result<void> {
                   if (key == "status") {
                     return read_string(value, key, out.status);
                   }
                   if (key == "engine") {
                     return read_string(value, key, out.engine);
                   }
                   if (key == "dependencies_met") {
                     return read_flag(value, key, out.dependencies_met);
                   }
                   return {};
                 });
  if (!done) {
    return unexpected(done.error());
  }
  return out;
}

}  // namespace ipf
