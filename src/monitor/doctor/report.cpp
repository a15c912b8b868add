#include "monitor/doctor/report.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>

#include "core/log.hpp"
#include "launcher/ipcluster_cli.hpp"
#include "protocol/json_text.hpp"

namespace ipf::doctor {

namespace {

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warn:
      return "warn";
    case Verdict::fail:
      return "FAIL";
  }
  return "";
}

std::size_t count(const Findings& findings, Verdict verdict) {
  return static_cast<std::size_t>(std::ranges::count(findings, verdict, &Finding::verdict));
}

/// Names of hosts and files come from elsewhere: nothing of them may steer the terminal.
std::string shown(const std::string& text) {
  return printable(text, std::numeric_limits<std::size_t>::max());
}

}  // namespace

std::string text_of(const Findings& findings) {
  std::size_t width = 0;
  for (const Finding& finding : findings) {
    width = std::max(width, finding.what.size());
  }
  std::string out;
  for (const Finding& finding : findings) {
    std::string verdict = name_of(finding.verdict);
    verdict.resize(6, ' ');
    std::string what = finding.what;
    what.resize(width, ' ');
    out += verdict + what + "  " + shown(finding.detail) + '\n';
    if (!finding.fix.empty()) {
      out += "      fix: " + shown(finding.fix) + '\n';
    }
  }
  return out + std::to_string(findings.size()) +
         " checks: " + std::to_string(count(findings, Verdict::fail)) + " failed, " +
         std::to_string(count(findings, Verdict::warn)) + " warnings\n";
}

std::string json_of(const Findings& findings) {
  Json checks = Json::array();
  for (const Finding& finding : findings) {
    checks.push_back(Json::object({{"verdict", name_of(finding.verdict)},
                                   {"check", finding.what},
                                   {"detail", finding.detail},
                                   {"fix", finding.fix}}));
  }
  const std::size_t failed = count(findings, Verdict::fail);
  return dump_json(Json::object({{"ok", failed == 0},
                                 {"failed", failed},
                                 {"warnings", count(findings, Verdict::warn)},
                                 {"checks", std::move(checks)}}));
}

int exit_code_of(const Findings& findings) {
  return count(findings, Verdict::fail) == 0 ? 0 : exit_failed;
}

}  // namespace ipf::doctor
