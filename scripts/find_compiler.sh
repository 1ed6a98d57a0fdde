#!/usr/bin/env bash
# Prints the C++ compiler that the native build will use, or says what is missing.
for compiler in ${CXX:-c++ g++ clang++}; do
    command -v "$compiler" && exit 0
done
echo "halo-tui: no C++ compiler found${CXX:+ (CXX is $CXX)}. Install one: sudo apt install build-essential" >&2
exit 1
