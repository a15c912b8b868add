# ipf_build_options: warnings, sanitizers and hardening. Linked PRIVATE everywhere, never exported.
# Warnings become errors only in the presets (CMAKE_COMPILE_WARNING_AS_ERROR), not for users.
include(CheckLinkerFlag)

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(IPF_CCACHE ccache)
if(IPF_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${IPF_CCACHE}")
endif()
check_linker_flag(CXX -fuse-ld=mold IPF_HAS_MOLD)

# Without -Wnull-dereference: GCC 12 reports it inside its own <streambuf> once that is inlined.
# GCC-only warnings: clang takes them for unknown options.
set(IPF_GNU_WARNINGS "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(IPF_GNU_WARNINGS -Wduplicated-cond -Wlogical-op)
endif()

add_library(ipf_build_options INTERFACE)
target_compile_options(ipf_build_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor
  -Wold-style-cast -Woverloaded-virtual -Wformat=2 -Wimplicit-fallthrough
  ${IPF_GNU_WARNINGS} -fstack-protector-strong)
target_compile_definitions(ipf_build_options INTERFACE
  $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>
  $<$<CONFIG:Debug,RelWithDebInfo>:_GLIBCXX_ASSERTIONS>)
target_link_options(ipf_build_options INTERFACE -Wl,-z,relro,-z,now)
if(IPF_HAS_MOLD)
  target_link_options(ipf_build_options INTERFACE -fuse-ld=mold)
endif()

if(IPF_SANITIZE STREQUAL "address+undefined")
  add_compile_options(-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(IPF_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(IPF_SANITIZE)
  message(FATAL_ERROR "IPF_SANITIZE='${IPF_SANITIZE}': use address+undefined, thread or nothing")
endif()
if(IPF_SANITIZE)
  # Optimised a little and with line numbers only: the whole test set builds and runs in minutes.
  string(APPEND CMAKE_CXX_FLAGS_DEBUG " -O1 -g1")
  # GCC 12 sees uninitialised std::function objects in <regex> that are none once it instruments.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
endif()
if(IPF_COVERAGE)
  add_compile_options(--coverage -fprofile-abs-path)
  add_link_options(--coverage)
endif()
