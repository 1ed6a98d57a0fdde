# Attaches halo's sources and symbol wraps to llama.cpp's own target, without touching its files.
set(HALO_SOURCES context cells cell_data attention bias queries experts hooks info bench)
list(TRANSFORM HALO_SOURCES PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/src/")
list(TRANSFORM HALO_SOURCES APPEND ".cpp")
set(HALO_INCLUDE "${CMAKE_CURRENT_SOURCE_DIR}/include")

# Upstream functions whose calls from other translation units come to us first (see src/hooks.cpp, src/attention.cpp, src/experts.cpp).
set(HALO_WRAPPED
    _ZNK11llama_model11build_graphERK16llm_graph_params
    ggml_flash_attn_ext ggml_flash_attn_ext_add_sinks ggml_flash_attn_ext_set_n_kv_max ggml_prec_set_acc
    ggml_soft_max_ext ggml_argsort_top_k)

function(halo_attach)
    # Private members are read where llama.cpp has no accessor; unity builds would mix our files
    # with theirs under those flags.
    set_source_files_properties(${HALO_SOURCES} TARGET_DIRECTORY llama PROPERTIES
        SKIP_UNITY_BUILD_INCLUSION ON
        COMPILE_OPTIONS "-fno-access-control;-Wall;-Wextra;${HALO_CHECKS}"
        INCLUDE_DIRECTORIES "${HALO_INCLUDE}"
        COMPILE_DEFINITIONS "HALO_NATIVE_VERSION=\"${HALO_VERSION}\";HALO_LLAMA_VERSION=\"${HALO_LLAMA_VERSION}\";HALO_COMPILER=\"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\";HALO_BUILD_TYPE=\"${CMAKE_BUILD_TYPE}\"")
    target_sources(llama PRIVATE ${HALO_SOURCES})
    foreach(symbol IN LISTS HALO_WRAPPED)
        target_link_options(llama PRIVATE "LINKER:--wrap=${symbol}")
    endforeach()
    # A wrapped symbol that upstream renamed leaves __real_… undefined: stop here, not at loading.
    if(NOT HALO_SANITIZE)
        target_link_options(llama PRIVATE "LINKER:-z,defs")
    endif()
endfunction()
cmake_language(DEFER CALL halo_attach)
