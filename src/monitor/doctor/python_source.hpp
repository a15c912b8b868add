#pragma once

#include <string_view>

namespace ipf::doctor {

/// python_facts.py and engine_facts.py; put in here by CMake.
extern const std::string_view python_facts_source;
extern const std::string_view engine_facts_source;

}  // namespace ipf::doctor
