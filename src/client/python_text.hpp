#pragma once

#include <string>
#include <string_view>

namespace ipf::client {

/// The text as a literal of Python's.
std::string python_string(std::string_view text);

/// `name`, `package.module`, `module:Class.method`. Letters beyond ASCII are left to Python.
bool is_dotted_name(std::string_view text);
bool is_name(std::string_view text);

}  // namespace ipf::client
