#include "launcher/template_format.hpp"

#include <gtest/gtest.h>

namespace ipf {
namespace {

const nlohmann::json scope{{"n", 10}, {"queue", "long"}, {"ratio", 0.5}, {"on", true}};

std::string formatted(std::string_view text) {
  const Result<std::string> out = format_template(text, scope);
  return out ? *out : "error: " + out.error().message;
}

TEST(TemplateFormat, FieldsAndBraces) {
  EXPECT_EQ(formatted("#BSUB -q {queue} -n {n}\n${{TASK}}"), "#BSUB -q long -n 10\n${TASK}");
  EXPECT_EQ(formatted("{ n // 4 } {n//4+1} {n % 4} {2**n} {-7//2} {-7 % 3} {(n+2)*3}"),
            "2 3 2 1024 -4 2 36");
  EXPECT_EQ(formatted("{max(n//4, 3)} {min(n, 4, 7)} {int(n*ratio)} {str(n)+'x'}"), "3 4 5 10x");
  EXPECT_EQ(formatted("{n/4} {ratio*2} {on}"), "2.5 1.0 True");
  EXPECT_EQ(formatted("{n:04d} {n:4} {queue:6}|"), "0010   10 long  |");
}

TEST(TemplateFormat, ErrorsNameLineFieldAndKnownNames) {
  EXPECT_EQ(formatted("ok\n{TASK}"),
            "error: line 2 of the batch template: {TASK}: unknown name 'TASK'; known are: n, on, "
            "queue, ratio; a brace of the script is written '{{'");
  for (const char* text : {"{n//0}",
                           "{n %0}",
                           "{n/0.0}",
                           "{}",
                           "{n",
                           "n}",
                           "{n+}",
                           "{(n}",
                           "{n n}",
                           "{queue*2}",
                           "{'a}",
                           "{n:x}",
                           "{f(n)}",
                           "{int('x')}",
                           "{9223372036854775807+1}",
                           "{2**64}",
                           "{10**9**9}",
                           "{99999999999999999999}",
                           "{n.real}",
                           "{max()}",
                           "{queue:3d}",
                           "{__import__('os')}",
                           "{1.2.3}",
                           "{n if n else 0}"}) {
    EXPECT_TRUE(formatted(text).starts_with("error: line 1 of the batch template")) << text;
  }
  const std::string deep(500, '(');
  EXPECT_NE(formatted("{" + deep + "}").find("too deeply"), std::string::npos);
}

}  // namespace
}  // namespace ipf
