# Included by native/tests and by a stand-alone build of this folder.
add_executable(test_compact ${CMAKE_CURRENT_LIST_DIR}/../tests/test_compact.cpp)
target_compile_features(test_compact PRIVATE cxx_std_17)
target_compile_options(test_compact PRIVATE -Wall -Wextra ${HALO_CHECKS})
target_link_libraries(test_compact PRIVATE halo_compact)
set_target_properties(test_compact PROPERTIES BUILD_WITH_INSTALL_RPATH OFF)
add_test(NAME compact COMMAND test_compact)
