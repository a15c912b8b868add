#include "engine/engine_messages.hpp"

#include "protocol/json_text.hpp"

namespace ipf::engine {

namespace {

void lend(const Frames& frames, std::vector<SharedBytes>& out) {
  out.clear();
  for (std::size_t i = 0; i < frames.size(); ++i) {
    out.push_back(frames.shared(i));
  }
}

}  // namespace

void EngineMessages::set_id(EngineId id) {
  identity_.emplace(uuid_, id);
  status_topic_ = identity_->topic("status");
}

void EngineMessages::address_like(const Message& request) {
  identities_.clear();
  for (std::size_t i = 0; i < request.identity_count(); ++i) {
    identities_.push_back(request.identity(i));
  }
}

void EngineMessages::address_to(std::string_view topic) {
  identities_.clear();
  if (!route_.empty()) {
    identities_.push_back(route_);
  }
  identities_.push_back(topic);
}

Frames EngineMessages::plain(std::string_view type, std::string_view content) {
  return session_.make({.type = type, .content = content}, wall_now());
}

Frames EngineMessages::status(std::string_view parent, std::string_view state) {
  address_to(status_topic_);
  std::string content = R"({"execution_state": ")";
  content += state;
  content += "\"}";
  return session_.make({.type = "status",
                        .parent = parent,
                        .metadata = identity_->metadata(),
                        .content = content,
                        .identities = identities_},
                       wall_now());
}

Frames EngineMessages::published(const Published& message) {
  const std::string topic = identity_->topic(message.topic);
  address_to(topic);
  lend(message.buffers, buffers_);
  Frames frames =
      session_.make({.type = message.msg_type,
                     .parent = message.parent.bytes.empty() ? "{}" : message.parent.bytes,
                     .metadata = message.metadata.empty() ? std::string_view(identity_->metadata())
                                                          : std::string_view(message.metadata),
                     .content = message.content,
                     .identities = identities_,
                     .buffers = buffers_},
                    wall_now());
  buffers_.clear();
  return frames;
}

Frames EngineMessages::reply(const ReplyTarget& target,
                             const ReplyFacts& facts,
                             std::string_view content,
                             const Frames& buffers) {
  const Message& request = target.request;
  const std::string metadata =
      is_shell(target.channel)
          ? identity_->reply_metadata(facts, read_echoed_metadata(request.metadata()))
          : identity_->metadata();
  address_like(request);
  lend(buffers, buffers_);
  const std::string type = reply_type(target.msg_type);
  Frames frames = session_.make({.type = type,
                                 .parent = request.header(),
                                 .metadata = metadata,
                                 .content = content,
                                 .identities = identities_,
                                 .buffers = buffers_},
                                wall_now());
  buffers_.clear();
  return frames;
}

Frames EngineMessages::question(const Message& request,
                                std::string_view type,
                                std::string_view content) {
  address_like(request);
  return session_.make({.type = type,
                        .parent = request.header(),
                        .metadata = identity_->metadata(),
                        .content = content,
                        .identities = identities_},
                       wall_now());
}

Frames EngineMessages::welcome(std::string_view subscription) {
  const std::string content = dump_json({{"subscription", std::string(subscription)}});
  // Subscribers match the first frame; to a subscription to everything there is no topic.
  identities_.clear();
  if (!subscription.empty()) {
    identities_.push_back(subscription);
  }
  return session_.make({.type = "iopub_welcome", .content = content, .identities = identities_},
                       wall_now());
}

}  // namespace ipf::engine
