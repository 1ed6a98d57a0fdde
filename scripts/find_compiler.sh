#!/usr/bin/env bash
# Prints the C++ compiler that the native build will use, or says what is missing.
for compiler in ${CXX:-c++ g++ clang++}; do
    command -v "$compiler" && exit 0
done
[ -r "${OS_RELEASE:=/etc/os-release}" ] && . "$OS_RELEASE"
case " ${ID:-} ${ID_LIKE:-} " in
    *" fedora "*) install="sudo dnf install gcc-c++ make" ;;
    *" arch "*) install="sudo pacman -S base-devel" ;;
    *) install="sudo apt install build-essential" ;;
esac
echo "halo-tui: no C++ compiler found${CXX:+ (CXX is $CXX)}. Install one: $install" >&2
exit 1
