# IPF_MODULE_DIR: where install() puts the extension module _native; inside the package when pip builds.
if(SKBUILD)
  set(IPF_MODULE_DIR ipyfleet)
else()
  include(GNUInstallDirs)
  set(IPF_MODULE_DIR "${CMAKE_INSTALL_LIBDIR}/ipyfleet")
endif()
