# Tests in C++: ipf_test() for GoogleTest programs, ipf_fuzz() for fuzz functions, and the guard that
# makes a test file which nobody registered an error.
include(GoogleTest)
set(IPF_TEST_DIR "${CMAKE_CURRENT_LIST_DIR}/../tests")

# All test programs; what the sanitizer presets build.
add_custom_target(ipf_tests)
add_custom_target(ipf_fuzzers)

function(ipf_register_test_sources)
  foreach(source IN LISTS ARGN)
    get_filename_component(path "${source}" ABSOLUTE)
    set_property(GLOBAL APPEND PROPERTY IPF_TEST_SOURCES "${path}")
  endforeach()
endfunction()

# ipf_test(<name> SOURCES <files...> [LINK <targets...>] [LABEL unit|sim|fuzz] [TIMEOUT <seconds>])
#
# One GoogleTest program; each of its cases is a ctest test. The label is `unit` if none is given.
# Tests find their files below the macro IPF_TESTS_DIR.
function(ipf_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL;TIMEOUT" "SOURCES;LINK")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ipf_test(${name}): SOURCES are needed, unknown are '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_LABEL MATCHES "^(unit|sim|fuzz)$")
    message(FATAL_ERROR "ipf_test(${name}): LABEL '${arg_LABEL}' is none of unit, sim, fuzz")
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} ipf_build_options GTest::gtest_main)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${name} PRIVATE "IPF_TESTS_DIR=\"${PROJECT_SOURCE_DIR}/tests\"")
  if(NOT arg_LABEL STREQUAL "sim")
    # The tests' own lines need no speed, and GCC compiles them in half the time.
    target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0>)
  endif()
  ipf_register_test_sources(${arg_SOURCES})
  add_dependencies(ipf_tests ${name})
  gtest_discover_tests(${name} TEST_PREFIX "${name}:" DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                       PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()

# ipf_fuzz(<name> SOURCES <files...> [LINK <targets...>])
#
# One fuzz function, LLVMFuzzerTestOneInput. With clang it is a libFuzzer program; else a seeded
# driver replays tests/fuzz/corpus/<name>/ and then IPF_FUZZ_RUNS mutations of it (default 20000).
# Either way the ctest test <name> replays the corpus in every test run.
function(ipf_fuzz name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  if(NOT arg_SOURCES OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ipf_fuzz(${name}): SOURCES are needed, unknown are '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  set(corpus "${CMAKE_CURRENT_SOURCE_DIR}/corpus/${name}")
  if(NOT IS_DIRECTORY "${corpus}")
    message(FATAL_ERROR "ipf_fuzz(${name}): needs at least one seed in ${corpus}")
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINK} ipf_build_options)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  ipf_register_test_sources(${arg_SOURCES})
  add_dependencies(ipf_tests ${name})
  add_dependencies(ipf_fuzzers ${name})
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz:${name} COMMAND ${name} -runs=20000 -seed=1 "${corpus}")
  else()
    target_sources(${name} PRIVATE "${IPF_TEST_DIR}/fuzz/seeded_driver.cpp")
    add_test(NAME fuzz:${name} COMMAND ${name} "${corpus}")
  endif()
  set_tests_properties(fuzz:${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()

# Ends the configure step if a *_test.cpp or *_fuzz.cpp below the directory was not registered.
function(ipf_check_registered_tests directory)
  get_property(registered GLOBAL PROPERTY IPF_TEST_SOURCES)
  file(GLOB_RECURSE found "${directory}/*_test.cpp" "${directory}/*_fuzz.cpp")
  set(missing "")
  foreach(source IN LISTS found)
    if(NOT source IN_LIST registered)
      string(APPEND missing "\n  ${source}")
    endif()
  endforeach()
  if(missing)
    message(FATAL_ERROR "Test files that no ipf_test() or ipf_fuzz() names:${missing}")
  endif()
endfunction()
