# make install: the program, both libraries, the public headers, pkg-config, man pages made from the commands' own --help.
# The prefix is found from where the .pc file lies, since `cmake --install --prefix` may put everything elsewhere.
file(RELATIVE_PATH DS_PREFIX_FROM_PC "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
string(REGEX REPLACE "/$" "" DS_PREFIX_FROM_PC "${DS_PREFIX_FROM_PC}")
configure_file("${CMAKE_SOURCE_DIR}/cmake/deepseek.pc.in" "${CMAKE_BINARY_DIR}/deepseek.pc" @ONLY)
install(TARGETS deepseek deepseek_static deepseek_shared
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/include/deepseek" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/models/deepseek" DESTINATION "${CMAKE_INSTALL_DATADIR}/deepseek/models" OPTIONAL)
install(FILES "${CMAKE_BINARY_DIR}/deepseek.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_custom_command(OUTPUT "${CMAKE_BINARY_DIR}/man/deepseek.1"
  COMMAND Python3::Interpreter "${CMAKE_SOURCE_DIR}/tools/gen_man.py" "$<TARGET_FILE:deepseek>" "${CMAKE_BINARY_DIR}/man"
  DEPENDS deepseek "${CMAKE_SOURCE_DIR}/tools/gen_man.py"
  COMMENT "man pages")
add_custom_target(man ALL DEPENDS "${CMAKE_BINARY_DIR}/man/deepseek.1")
install(DIRECTORY "${CMAKE_BINARY_DIR}/man/" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" FILES_MATCHING PATTERN "*.1")
