# ipf_library(<name> LAYER <n> SOURCES <files...> [PUBLIC <targets...>] [PRIVATE <targets...>])
#
# One static library of the product, with the alias ipf::<name without ipf_>. Links may go only to a
# lower layer (docs/internals/architecture.md), and layers 1 to 3 link neither ZeroMQ nor Python nor
# the logger; a wrong link ends the configure step. With tests on, <name>_link_test links the whole
# archive with nothing but its own dependencies, so that a symbol of a higher layer that slipped in
# by a header is a build error too.
function(ipf_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LAYER" "SOURCES;PUBLIC;PRIVATE")
  if(NOT DEFINED arg_LAYER OR NOT arg_SOURCES)
    message(FATAL_ERROR "ipf_library(${name}): LAYER and SOURCES are needed")
  endif()
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ipf_library(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  add_library(${name} STATIC ${arg_SOURCES})
  string(REGEX REPLACE "^ipf_" "" short "${name}")
  add_library(ipf::${short} ALIAS ${name})
  set_target_properties(${name} PROPERTIES IPF_LAYER ${arg_LAYER} POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${name} PUBLIC
    "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>" "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>")
  target_link_libraries(${name} PUBLIC ${arg_PUBLIC}
                        PRIVATE ${arg_PRIVATE} "$<BUILD_INTERFACE:ipf_build_options>")
  # Checked at the end of the top directory: only then do all targets exist, and links that were
  # added later by target_link_libraries() count as well.
  set_property(GLOBAL APPEND PROPERTY IPF_LIBRARIES ${name})
  cmake_language(EVAL CODE
    "cmake_language(DEFER DIRECTORY [[${PROJECT_SOURCE_DIR}]] CALL ipf_check_layer ${name})")
  if(IPF_BUILD_TESTS)
    set(main "${CMAKE_BINARY_DIR}/link_test_main.cpp")
    if(NOT EXISTS "${main}")
      file(WRITE "${main}" "int main() { return 0; }\n")
    endif()
    add_executable(${name}_link_test "${main}")
    set_target_properties(${name}_link_test PROPERTIES CXX_CLANG_TIDY "")
    target_link_libraries(${name}_link_test PRIVATE
      "$<LINK_LIBRARY:WHOLE_ARCHIVE,${name}>" ipf_build_options)
    add_test(NAME link:${name} COMMAND ${name}_link_test)
    set_tests_properties(link:${name} PROPERTIES LABELS link TIMEOUT 60)
  endif()
endfunction()

# The targets that a pure layer (1 to 3) must not link: sockets, Python, the logger.
set(IPF_IMPURE_TARGETS "^(cppzmq|cppzmq-static|libzmq|zmq|Python::.*|pybind11::.*|spdlog::.*)$")

function(ipf_check_layer name)
  get_target_property(layer ${name} IPF_LAYER)
  get_target_property(dependencies ${name} LINK_LIBRARIES)
  foreach(dependency IN LISTS dependencies)
    if(layer LESS_EQUAL 3 AND dependency MATCHES "${IPF_IMPURE_TARGETS}")
      message(FATAL_ERROR "${name} (layer ${layer}) must not link ${dependency}: layers 1 to 3 are pure, "
                          "see docs/internals/architecture.md")
    endif()
    if(NOT TARGET "${dependency}")
      continue()
    endif()
    get_target_property(aliased ${dependency} ALIASED_TARGET)
    if(aliased)
      set(dependency ${aliased})
    endif()
    get_target_property(below ${dependency} IPF_LAYER)
    if(below AND NOT below LESS layer)
      message(FATAL_ERROR "${name} (layer ${layer}) must not link ${dependency} (layer ${below}): "
                          "links go only downwards, see docs/internals/architecture.md")
    endif()
  endforeach()
endfunction()
