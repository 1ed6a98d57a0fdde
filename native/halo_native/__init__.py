"""Where the native library of halo-tui is: libllama with halo's seam linked in."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def lib_dir() -> Path:
    """Folder of libllama.so and the ggml libraries, for `LLAMA_CPP_LIB_PATH`."""
    return Path(__file__).parent / "lib"


def include_dir() -> Path:
    """Folder of halo.h."""
    return Path(__file__).parent / "include"


def rpc_server() -> Path:
    """llama.cpp's rpc-server: lends this machine's devices to another one."""
    return Path(__file__).parent / "bin" / "ggml-rpc-server"
