// Version and build information.
#include <cstdio>

#include "internal.h"

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"

namespace {

std::string quoted(const std::string & text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if ((unsigned char) c < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof(escape), "\\u%04x", c);
            out += escape;
        } else {
            out += c;
        }
    }
    return out + "\"";
}

} // namespace

extern "C" {

const char * halo_version(void) {
    return HALO_NATIVE_VERSION;
}

int32_t halo_abi(void) {
    return HALO_ABI;
}

const char * halo_build_info(void) {
    thread_local std::string json;
    const auto status = halo::guarded([&] {
        std::string backends;
        for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
            backends += (i ? "," : "") + quoted(ggml_backend_reg_name(ggml_backend_reg_get(i)));
        }
        json = "{\"version\":" + quoted(HALO_NATIVE_VERSION) + ",\"abi\":" + std::to_string(HALO_ABI) +
               ",\"llama_cpp\":" + quoted(HALO_LLAMA_VERSION) + ",\"ggml\":" + quoted(ggml_version()) + ",\"compiler\":" + quoted(HALO_COMPILER) +
               ",\"build_type\":" + quoted(HALO_BUILD_TYPE) + ",\"backends\":[" + backends +
               "],\"system\":" + quoted(llama_print_system_info()) + "}";
        return HALO_OK;
    });
    return status == HALO_OK ? json.c_str() : "{}";
}

} // extern "C"
