# What `cmake --install` lays down. Components: `runtime` is the program with its plugins and the editor's
# stubs for scripts, `dev` what plugin authors build against: headers, CMake package, pkg-config file.
# Plugins install themselves (MinnowPlugin.cmake).
include(CMakePackageConfigHelpers)

install(TARGETS minnow RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT runtime)
install(TARGETS minnow-probe minnow-check minnow-script RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/minnow COMPONENT runtime)
install(FILES scripts/minnow.d.lua DESTINATION ${CMAKE_INSTALL_DATADIR}/minnow/lua COMPONENT runtime)

foreach(component runtime dev)
  install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/minnow
    COMPONENT ${component} RENAME LICENSE.Apache-2.0)
  install(FILES host/include/minnow/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/minnow
    COMPONENT ${component} RENAME LICENSE.MIT)
endforeach()

install(DIRECTORY host/include/minnow DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT dev)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Minnow)
install(TARGETS minnow_abi EXPORT MinnowTargets)
install(EXPORT MinnowTargets NAMESPACE Minnow:: DESTINATION ${package_dir} COMPONENT dev)
configure_package_config_file(cmake/MinnowConfig.cmake.in ${CMAKE_BINARY_DIR}/MinnowConfig.cmake
  INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/MinnowConfigVersion.cmake
  COMPATIBILITY SameMajorVersion ARCH_INDEPENDENT)
install(FILES ${CMAKE_BINARY_DIR}/MinnowConfig.cmake ${CMAKE_BINARY_DIR}/MinnowConfigVersion.cmake
    cmake/MinnowPlugin.cmake cmake/WriteManifest.cmake cmake/plugin.map
  DESTINATION ${package_dir} COMPONENT dev)

# Relative to the file's own place, so that the tree may be moved and staged.
file(RELATIVE_PATH prefix_of_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/minnow.pc.in ${CMAKE_BINARY_DIR}/minnow.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/minnow.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT dev)
