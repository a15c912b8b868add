#pragma once

#include <string>

#include "monitor/doctor/finding.hpp"

namespace ipf::doctor {

/// One line for each finding, `ok|warn|FAIL  what  detail`, below it the fix; the last line counts.
std::string text_of(const Findings& findings);

/// {"ok": ..., "failed": n, "warnings": n, "checks": [{"verdict", "check", "detail", "fix"}, ...]}
std::string json_of(const Findings& findings);

/// 0, or 1 when something failed.
int exit_code_of(const Findings& findings);

}  // namespace ipf::doctor
