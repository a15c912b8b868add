# The C++ client as others use it: one shared library with everything it needs inside, its headers,
# and find_package(ipyfleet), target ipyfleet::client. `cmake --install <build> --component cpp`.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(exports "${CMAKE_CURRENT_LIST_DIR}/ipyfleet.map")
set(no_source "${CMAKE_BINARY_DIR}/ipyfleet.cpp")  # a target needs one; all code is in the archives
file(CONFIGURE OUTPUT "${no_source}" CONTENT "")
add_library(ipyfleet SHARED EXCLUDE_FROM_ALL "${no_source}")
add_library(ipyfleet::client ALIAS ipyfleet)
set_target_properties(ipyfleet PROPERTIES
  EXPORT_NAME client VERSION "${PROJECT_VERSION}" SOVERSION "${PROJECT_VERSION_MAJOR}"
  LINK_LIBRARY_OVERRIDE "WHOLE_ARCHIVE,ipf_client,ipf_client_core" LINK_DEPENDS "${exports}")
target_compile_features(ipyfleet INTERFACE cxx_std_20)
target_include_directories(ipyfleet PUBLIC
  "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>" "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")
target_link_libraries(ipyfleet PRIVATE
  "$<BUILD_INTERFACE:ipf_client>" "$<BUILD_INTERFACE:ipf_client_core>"
  "$<BUILD_INTERFACE:ipf_build_options>")
target_link_options(ipyfleet PRIVATE "LINKER:--version-script=${exports}")

install(TARGETS ipyfleet EXPORT ipyfleet LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
        COMPONENT cpp NAMELINK_COMPONENT cpp EXCLUDE_FROM_ALL)
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/ipyfleet" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        COMPONENT cpp EXCLUDE_FROM_ALL FILES_MATCHING PATTERN "*.hpp")
set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ipyfleet")
write_basic_package_version_file("${CMAKE_BINARY_DIR}/ipyfleetConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(EXPORT ipyfleet NAMESPACE ipyfleet:: FILE ipyfleetConfig.cmake DESTINATION "${package_dir}"
        COMPONENT cpp EXCLUDE_FROM_ALL)
install(FILES "${CMAKE_BINARY_DIR}/ipyfleetConfigVersion.cmake" DESTINATION "${package_dir}"
        COMPONENT cpp EXCLUDE_FROM_ALL)
