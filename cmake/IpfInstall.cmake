# Where install() puts things, and what it takes to run them there.
#
# IPF_BIN_DIR     ipcontroller, ipengine, ipcluster: the bin/ of the virtual environment when pip builds
# IPF_MODULE_DIR  the extension module _native, inside the package ipyfleet
if(SKBUILD)
  set(IPF_BIN_DIR "${SKBUILD_SCRIPTS_DIR}")
  set(IPF_MODULE_DIR ipyfleet)
else()
  include(GNUInstallDirs)
  set(IPF_BIN_DIR "${CMAKE_INSTALL_BINDIR}")
  set(IPF_MODULE_DIR "${CMAKE_INSTALL_LIBDIR}/ipyfleet")
endif()

# ipf_program(<target> [EMBEDS_PYTHON])
#
# Gives the program the macro IPF_VERSION, whose one source is project() in the top CMakeLists.txt,
# and installs it. A program that embeds Python finds libpython by the directory it was built against,
# which is not on the loader's path for a Python from pyenv, and exports its symbols to extension
# modules.
function(ipf_program target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "EMBEDS_PYTHON" "" "")
  target_compile_definitions(${target} PRIVATE "IPF_VERSION=\"${PROJECT_VERSION}\"")
  target_link_libraries(${target} PRIVATE ipf_build_options)
  if(arg_EMBEDS_PYTHON)
    set_target_properties(${target} PROPERTIES
      INSTALL_RPATH "${Python_LIBRARY_DIRS}" ENABLE_EXPORTS ON)
  endif()
  install(TARGETS ${target} RUNTIME DESTINATION "${IPF_BIN_DIR}")
endfunction()
