#include "protocol/requests.hpp"

#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "unit/protocol/protocol_testing.hpp"

namespace ipf {
namespace {

using test::json_of;

/// The decoded request; the test fails when it is refused or of another type.
template <class Request>
Request decoded(std::string_view type, std::string_view content) {
  auto result = decode_hub_request(type, json_of(content));
  if (const auto* failure = std::get_if<RemoteFailure>(&result)) {
    ADD_FAILURE() << type << " " << content << ": " << failure->evalue;
    return {};
  }
  const auto* request = std::get_if<Request>(&std::get<HubRequest>(result));
  EXPECT_NE(request, nullptr) << type;
  return request == nullptr ? Request{} : *request;
}

RemoteFailure refused(std::string_view type, std::string_view content) {
  auto result = decode_hub_request(type, json_of(content));
  const auto* failure = std::get_if<RemoteFailure>(&result);
  EXPECT_NE(failure, nullptr) << type << " " << content;
  return failure == nullptr ? RemoteFailure{} : *failure;
}

std::vector<EngineName> names(std::initializer_list<EngineName> list) {
  return list;
}

TEST(Registration, NeedsAUuidAndMayWishAnId) {
  const auto plain =
      decoded<RegistrationRequest>("registration_request", R"({"uuid": "u1", "extra": 1})");
  EXPECT_EQ(plain.uuid, "u1");
  EXPECT_EQ(plain.wanted_id, std::nullopt);
  EXPECT_EQ(
      decoded<RegistrationRequest>("registration_request", R"({"uuid": "u", "id": 7})").wanted_id,
      EngineId{7});
  EXPECT_EQ(
      decoded<RegistrationRequest>("registration_request", R"({"uuid": "u", "id": 0})").wanted_id,
      EngineId{0});
  EXPECT_EQ(decoded<RegistrationRequest>("registration_request", R"({"uuid": "u", "id": null})")
                .wanted_id,
            std::nullopt);
}

TEST(Registration, ResourcesAreReadAndChecked) {
  const auto read = [](const std::string& ours) {
    return R"({"uuid": "u", "ipyfleet": )" + ours + "}";
  };
  EXPECT_EQ(decoded<RegistrationRequest>("registration_request",
                                         read(R"({"resources": {"gpu": 2, "mem": 1.5}})"))
                .resources,
            (ResourceMap{{"gpu", 2.0}, {"mem", 1.5}}));
  EXPECT_TRUE(decoded<RegistrationRequest>("registration_request", read("{}")).resources.empty());
  for (const auto* wrong : {R"({"resources": [1]})", R"({"resources": {"gpu": -1}})",
                            R"({"resources": {"gpu": "2"}})", R"({"resources": {"": 2}})"}) {
    EXPECT_EQ(refused("registration_request", read(wrong)).ename, "TypeError") << wrong;
  }
}

TEST(Explain, NeedsAListOfIds) {
  EXPECT_EQ(decoded<ExplainRequest>("explain_request", R"({"msg_ids": ["a", "b"]})").msg_ids,
            (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(refused("explain_request", R"({"msg_ids": [1]})").ename, "TypeError");
  EXPECT_EQ(refused("explain_request", "{}").ename, "TypeError");
}

TEST(Registration, UuidsThatCannotBeARoutingIdAreRefused) {
  EXPECT_EQ(decoded<RegistrationRequest>("registration_request",
                                         R"({"uuid": ")" + std::string(200, 'u') + "\"}")
                .uuid.size(),
            200U);
  for (const auto& content :
       {std::string("{}"), std::string(R"({"uuid": ""})"), std::string(R"({"uuid": 1})"),
        std::string(R"({"uuid": null})"), std::string(R"({"uuid": "\u0000a"})"),
        R"({"uuid": ")" + std::string(201, 'u') + "\"}"}) {
    EXPECT_EQ(refused("registration_request", content).ename, "KeyError") << content;
  }
}

TEST(Registration, IdsThatAreNoCountAreRefused) {
  for (const std::string id : {"-1", "1.5", "\"1\"", "[]", "true", "2147483648", "4294967296",
                               "18446744073709551615", "99999999999999999999999"}) {
    const auto failure = refused("registration_request", R"({"uuid": "u", "id": )" + id + "}");
    EXPECT_EQ(failure.ename, "TypeError") << id;
    EXPECT_EQ(failure.evalue, "registration_request: 'id' must be a whole number from 0");
    EXPECT_EQ(refused("unregistration_request", R"({"id": )" + id + "}").ename, "TypeError") << id;
  }
}

TEST(Unregistration, TheIdMayBeUnknownToTheEngine) {
  EXPECT_EQ(decoded<UnregistrationRequest>("unregistration_request", R"({"id": 3})").id,
            EngineId{3});
  EXPECT_EQ(decoded<UnregistrationRequest>("unregistration_request", R"({"id": null})").id,
            std::nullopt);
  EXPECT_EQ(decoded<UnregistrationRequest>("unregistration_request", "{}").id, std::nullopt);
}

TEST(Queue, TargetsAreAllOrOneOrAListOfIdsAndUuids) {
  EXPECT_EQ(decoded<QueueRequest>("queue_request", "{}").targets, std::nullopt);
  EXPECT_EQ(decoded<QueueRequest>("queue_request", R"({"targets": null})").targets, std::nullopt);
  EXPECT_EQ(decoded<QueueRequest>("queue_request", R"({"targets": []})").targets, names({}));
  EXPECT_EQ(decoded<QueueRequest>("queue_request", R"({"targets": 2})").targets,
            names({EngineId{2}}));
  EXPECT_EQ(decoded<QueueRequest>("queue_request", R"({"targets": "u"})").targets,
            names({std::string("u")}));
  EXPECT_EQ(decoded<QueueRequest>("queue_request", R"({"targets": [0, "u", 5]})").targets,
            names({EngineId{0}, std::string("u"), EngineId{5}}));
}

TEST(Queue, VerboseIsATruthValue) {
  EXPECT_TRUE(decoded<QueueRequest>("queue_request", R"({"verbose": true})").verbose);
  EXPECT_FALSE(decoded<QueueRequest>("queue_request", R"({"verbose": false})").verbose);
  EXPECT_FALSE(decoded<QueueRequest>("queue_request", R"({"verbose": "yes"})").verbose);
}

TEST(Queue, WrongTargetsAreRefusedInBothRequestsThatHaveThem) {
  for (const std::string type : {"queue_request", "load_request"}) {
    for (const std::string targets :
         {"-1", "1.5", "{}", "true", "[null]", "[[0]]", "[0, {}]", "[-1]"}) {
      const auto failure = refused(type, R"({"targets": )" + targets + "}");
      EXPECT_EQ(failure.ename, "TypeError");
      EXPECT_EQ(failure.evalue, type + ": 'targets' must be null or a list of engine ids")
          << targets;
    }
  }
  EXPECT_EQ(decoded<LoadRequest>("load_request", R"({"targets": [1]})").targets,
            names({EngineId{1}}));
}

TEST(ResultQuery, NeedsMsgIds) {
  const auto request =
      decoded<ResultRequest>("result_request", R"({"msg_ids": ["a", "b"], "status_only": true})");
  EXPECT_EQ(request.msg_ids, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(request.status_only);
  const auto one =
      decoded<ResultRequest>("result_request", R"({"msg_ids": "a", "status_only": 1})");
  EXPECT_EQ(one.msg_ids, std::vector<std::string>{"a"});
  EXPECT_FALSE(one.status_only);
  for (const std::string content :
       {"{}", R"({"msg_ids": null})", R"({"msg_ids": 1})", R"({"msg_ids": [1]})",
        R"({"msg_ids": {"a": 1}})", R"({"msg_ids": ["a", null]})"}) {
    EXPECT_EQ(refused("result_request", content).evalue,
              "result_request: 'msg_ids' must be a list of strings");
    EXPECT_EQ(refused("resubmit_request", content).evalue,
              "resubmit_request: 'msg_ids' must be a list of strings");
  }
  EXPECT_EQ(decoded<ResubmitRequest>("resubmit_request", R"({"msg_ids": ["a"]})").msg_ids,
            std::vector<std::string>{"a"});
}

TEST(Db, QueryAndKeysAreOptional) {
  const auto empty = decoded<DbRequest>("db_request", "{}");
  EXPECT_EQ(empty.query, Json::object());
  EXPECT_EQ(empty.keys, std::nullopt);
  EXPECT_EQ(decoded<DbRequest>("db_request", R"({"query": null, "keys": null})").query,
            Json::object());
  const auto full =
      decoded<DbRequest>("db_request", R"({"query": {"a": {"$lt": 1}}, "keys": ["a", "b"]})");
  EXPECT_EQ(full.query, json_of(R"({"a": {"$lt": 1}})"));
  EXPECT_EQ(full.keys, (std::vector<std::string>{"a", "b"}));
  for (const std::string query : {"1", "[]", "\"a\""}) {
    EXPECT_EQ(refused("db_request", R"({"query": )" + query + "}").evalue,
              "db_request: 'query' must be a dictionary");
  }
  for (const std::string keys : {"1", "{}", "[1]"}) {
    EXPECT_EQ(refused("db_request", R"({"keys": )" + keys + "}").evalue,
              "db_request: 'keys' must be null or a list of column names");
  }
}

TEST(Purge, AllOrSomeMessagesAndSomeEngines) {
  EXPECT_TRUE(decoded<PurgeRequest>("purge_request", R"({"msg_ids": "all"})").all);
  const auto nothing =
      decoded<PurgeRequest>("purge_request", R"({"msg_ids": null, "engine_ids": null})");
  EXPECT_FALSE(nothing.all);
  EXPECT_TRUE(nothing.msg_ids.empty() && nothing.engine_ids.empty());
  const auto some =
      decoded<PurgeRequest>("purge_request", R"({"msg_ids": ["all"], "engine_ids": [0, 2]})");
  EXPECT_FALSE(some.all) << "a list with the word is a list of ids";
  EXPECT_EQ(some.msg_ids, std::vector<std::string>{"all"});
  EXPECT_EQ(some.engine_ids, (std::vector{EngineId{0}, EngineId{2}}));
  EXPECT_EQ(decoded<PurgeRequest>("purge_request", R"({"engine_ids": 4})").engine_ids,
            std::vector{EngineId{4}});
  for (const std::string ids : {"1", "{}", "[1]", "true"}) {
    EXPECT_EQ(refused("purge_request", R"({"msg_ids": )" + ids + "}").evalue,
              "purge_request: 'msg_ids' must be \"all\" or a list of strings");
  }
  for (const std::string ids : {"-1", "{}", "[\"u\"]", "\"u\"", "[1.5]"}) {
    EXPECT_EQ(refused("purge_request", R"({"engine_ids": )" + ids + "}").evalue,
              "purge_request: 'engine_ids' must be a list of engine ids");
  }
}

TEST(HubRequests, RequestsWithoutContentAreKnown) {
  decoded<ConnectionRequest>("connection_request", "{}");
  decoded<HistoryRequest>("history_request", "{}");
  decoded<ShutdownRequest>("shutdown_request", R"({"extra": 1})");
}

TEST(HubRequests, AnUnknownTypeIsAKeyErrorAsInTheReference) {
  const auto failure = refused("nonsense_request", "{}");
  EXPECT_EQ(failure.ename, "KeyError");
  EXPECT_EQ(failure.evalue, "\"Bad Message Type: 'nonsense_request'\"");
  EXPECT_EQ(refused("", "{}").ename, "KeyError");
  EXPECT_EQ(refused("connection_request ", "{}").ename, "KeyError");
  EXPECT_LT(refused(std::string(100'000, 'x'), "{}").evalue.size(), 200U)
      << "the answer must not echo without bound";
}

TEST(HubRequests, AContentThatIsNoDictionaryIsRefused) {
  for (const std::string content : {"[]", "1", "null", "\"a\""}) {
    EXPECT_EQ(refused("connection_request", content).evalue,
              "the content of a request must be a dictionary");
  }
}

}  // namespace
}  // namespace ipf
