"""What a GPU backend needs is looked for before anything is built, and said in a sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.setup_scripts import ROOT, bare_path, module, program

HIPCONFIG = """case "$1" in
  --version) echo -n {version} ;;
  --rocmpath) echo -n {prefix} ;;
esac"""
DEBIAN_SID = 'PRETTY_NAME="Debian GNU/Linux forky/sid"\nID=debian\n'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    return bare_path(tmp_path / "bin")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty file system."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def needs(monkeypatch: pytest.MonkeyPatch, root: Path) -> ModuleType:
    """The check of a backend's needs, on a machine that has nothing."""
    found = module(ROOT / "scripts" / "backend_needs.py")
    monkeypatch.setattr(found, "FOLDERS", {})
    monkeypatch.setattr(found, "DEV", root / "dev")
    monkeypatch.setattr(found.rocm_needs, "ROOT", root)
    monkeypatch.setattr(found.distribution, "ROOT", root)
    return found


def release(root: Path, text: str) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "os-release").write_text(text)


def gpu(root: Path, node: int, target: int) -> None:
    """A node of the KFD's topology, as amdkfd tells it; processors have no target."""
    folder = root / "sys/class/kfd/kfd/topology/nodes" / str(node)
    folder.mkdir(parents=True)
    (folder / "properties").write_text(f"cpu_cores_count 0\ngfx_target_version {target}\n")


def rocm(prefix: Path, *kernels: str, version: str = "7.0.51831-abc", lib: str = "lib") -> Path:
    """A complete ROCm whose rocBLAS has kernels for those GPUs."""
    for name in ("hip", "hipblas", "rocblas"):
        (prefix / lib / "cmake" / name).mkdir(parents=True)
    library = prefix / lib / "rocblas" / "library"
    library.mkdir(parents=True)
    for name in kernels:
        (library / f"TensileLibrary_lazy_{name}.dat").touch()
    (prefix / "bin").mkdir()
    program(prefix / "bin", "hipconfig", HIPCONFIG.format(version=version, prefix=prefix))
    return prefix


def test_cuda_needs_a_compiler_and_something_to_compile_for(
    needs: ModuleType, machine: Path, root: Path
) -> None:
    env = {"PATH": str(machine)}
    with pytest.raises(needs.Missing, match=r"nvcc is missing.*CUDACXX"):
        needs.prepare("cuda", "c++", env)
    with pytest.raises(needs.Missing, match="/no/nvcc is missing"):
        needs.prepare("cuda", "c++", {**env, "CUDACXX": "/no/nvcc"})
    program(machine, "nvcc", "echo release 13.0")
    with pytest.raises(needs.Missing, match=r"no NVIDIA GPU here.*CUDAARCHS=90"):
        needs.prepare("cuda", "c++", env)
    told = needs.prepare("cuda", "c++", {**env, "CUDAARCHS": "90", "CMAKE_ARGS": "-DA=1"})
    assert told.env["CMAKE_ARGS"] == "-DA=1 -DCMAKE_CUDA_ARCHITECTURES=90"
    (root / "dev").mkdir()
    (root / "dev" / "nvidia0").touch()
    here = needs.prepare("cuda", "c++", env)
    assert "CMAKE_ARGS" not in here.env and "13.0" in here.built_with
    program(machine, "nvidia-smi", "echo 12.0")
    assert needs.prepare("cuda", "c++", env).built_with != here.built_with  # another GPU


@pytest.mark.parametrize(
    ("os_release", "says", "not_says"),
    [
        (DEBIAN_SID, "apt install hipcc libamdhip64-dev libhipblas-dev librocblas-dev", None),
        ('ID=debian\nVERSION_ID="13"\n', "AMD's packages", "apt install"),  # 5.7
        ('ID=ubuntu\nID_LIKE=debian\nVERSION_ID="24.04"\n', "AMD's packages", "apt install"),
        ("ID=fedora\nVERSION_ID=43\n", "dnf install hipcc rocm-hip-devel", None),
        ("ID=arch\n", "pacman -S rocm-hip-sdk", None),
        ("ID=unheard\n", "https://rocm.docs.amd.com", "apt"),
    ],
)
def test_where_rocm_comes_from_depends_on_the_distribution(
    needs: ModuleType, machine: Path, root: Path, os_release: str, says: str, not_says: str | None
) -> None:
    release(root, os_release)
    with pytest.raises(needs.Missing, match="ROCm is missing: no hipconfig") as caught:
        needs.prepare("hip", "c++", {"PATH": str(machine)})
    assert says in str(caught.value) and (not_says is None or not_says not in str(caught.value))


def test_rocm_has_to_be_new_enough(needs: ModuleType, machine: Path, root: Path) -> None:
    rocm(root / "opt/rocm", version="5.7.31921-0")
    with pytest.raises(needs.Missing, match=r"ROCm 5\.7 \(.*hipconfig\) is too old.* 6\.1"):
        needs.prepare("hip", "c++", {"PATH": str(machine)})


def test_the_newest_rocm_is_found_without_a_path(
    needs: ModuleType, machine: Path, root: Path
) -> None:
    gpu(root, 1, 110501)
    for version in ("6.4.1", "7.2", "7.10"):
        rocm(root / f"opt/rocm-{version}", "gfx1151", version=f"{version}.0")
    found = needs.prepare("hip", "c++", {"PATH": str(machine)})
    assert found.env["ROCM_PATH"] == str(root / "opt/rocm-7.10")
    assert "7.10" in found.built_with
    named = {"PATH": str(machine), "ROCM_PATH": str(root / "opt/rocm-7.2")}
    again = needs.prepare("hip", "c++", named)
    assert again.env["ROCM_PATH"] == named["ROCM_PATH"]
    assert again.built_with != found.built_with


def test_libraries_that_are_missing_are_named(needs: ModuleType, machine: Path, root: Path) -> None:
    release(root, DEBIAN_SID)
    prefix = rocm(root / "usr", "gfx1100", lib="lib/x86_64-linux-gnu")
    env = {"PATH": f"{machine}:{prefix}/bin", "HIPARCHS": "gfx1100"}
    assert needs.prepare("hip", "c++", env)
    shutil.rmtree(prefix / "lib/x86_64-linux-gnu/cmake/hipblas")
    with pytest.raises(needs.Missing, match=r"hipblas is missing below .*libhipblas-dev"):
        needs.prepare("hip", "c++", env)
    # Elsewhere is as good, when CMake is told so.
    (root / "mine/lib/cmake/hipblas").mkdir(parents=True)
    assert needs.prepare("hip", "c++", {**env, "CMAKE_PREFIX_PATH": str(root / "mine")})


def test_it_is_compiled_for_the_gpus_that_are_here_or_named(
    needs: ModuleType, machine: Path, root: Path
) -> None:
    rocm(root / "opt/rocm", "gfx1100", "gfx1151", "gfx90a", "gfx1036")
    env = {"PATH": str(machine)}
    with pytest.raises(needs.Missing, match=r"no AMD GPU here.*HIPARCHS=gfx1151"):
        needs.prepare("hip", "c++", env)
    gpu(root, 0, 0)
    gpu(root, 1, 110501)
    assert needs.prepare("hip", "c++", env).env["CMAKE_ARGS"] == "-DGPU_TARGETS=gfx1151"
    gpu(root, 2, 90010)
    gpu(root, 3, 110501)  # the same again
    both = needs.prepare("hip", "c++", {**env, "CMAKE_ARGS": "-DA=1"})
    assert both.env["CMAKE_ARGS"] == "-DA=1 -DGPU_TARGETS=gfx1151;gfx90a"
    told = needs.prepare("hip", "c++", {**env, "HIPARCHS": "gfx1100,gfx1036"})
    assert told.env["CMAKE_ARGS"] == "-DGPU_TARGETS=gfx1100;gfx1036"
    pretended = needs.prepare("hip", "c++", {**env, "HSA_OVERRIDE_GFX_VERSION": "11.0.0"})
    assert pretended.env["CMAKE_ARGS"] == "-DGPU_TARGETS=gfx1100"
    arguments = "-DCMAKE_HIP_ARCHITECTURES=gfx1100"
    raw = needs.prepare("hip", "c++", {**env, "CMAKE_ARGS": arguments})
    assert raw.env["CMAKE_ARGS"] == arguments


def test_what_is_no_gpu_is_refused(needs: ModuleType, machine: Path, root: Path) -> None:
    rocm(root / "opt/rocm", "gfx1151")
    for wrong in ("strix-halo", "1151", "gfx1151,native"):
        with pytest.raises(needs.Missing, match=r"names no AMD GPU.*gfx1151 for Strix Halo"):
            needs.prepare("hip", "c++", {"PATH": str(machine), "HIPARCHS": wrong})


def test_a_rocblas_without_kernels_for_the_gpu_is_told_of_before_the_build(
    needs: ModuleType, machine: Path, root: Path
) -> None:
    """As Debian's: it ends the program with "Cannot read TensileLibrary.dat" at its first use."""
    rocm(root / "opt/rocm", "gfx1030", "gfx1100")
    gpu(root, 1, 110501)
    env = {"PATH": str(machine)}
    with pytest.raises(needs.Missing, match=r"no kernels for gfx1151.*gfx1030, gfx1100.*vulkan"):
        needs.prepare("hip", "c++", env)
    anyway = needs.prepare("hip", "c++", {**env, "HIPARCHS": "gfx1151"})
    assert "no kernels for gfx1151" in anyway.warning
    assert anyway.env["CMAKE_ARGS"] == "-DGPU_TARGETS=gfx1151"
    for fine in ("gfx1100:xnack-", "gfx11-generic"):
        assert not needs.prepare("hip", "c++", {**env, "HIPARCHS": fine}).warning
    (root / "more").mkdir()
    (root / "more" / "TensileLibrary_lazy_gfx1151.dat").touch()
    elsewhere = {**env, "ROCBLAS_TENSILE_LIBPATH": str(root / "more")}
    assert not needs.prepare("hip", "c++", elsewhere).warning


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({}, "glslc, libvulkan-dev, spirv-headers are missing"),
        ({"vulkan/vulkan.hpp": ""}, "headers are too old"),
        (
            {"vulkan/vulkan.hpp": "#define VK_EXT_LAYER_SETTINGS_EXTENSION_NAME"},
            "glslc, spirv-headers are missing",
        ),
    ],
)
def test_what_vulkan_misses_is_named(
    needs: ModuleType, machine: Path, headers: dict[str, str], says: str
) -> None:
    for name, text in headers.items():
        (machine / "include" / name).parent.mkdir(parents=True)
        (machine / "include" / name).write_text(text)
    # Searches nowhere but in the folder of the SDK.
    real = shutil.which("c++")
    compiler = program(machine, "c++", f'PATH={os.environ["PATH"]} exec {real} -nostdinc "$@"')
    env = {"PATH": str(machine), "VULKAN_SDK": str(machine)}
    with pytest.raises(needs.Missing, match=says):
        needs.prepare("vulkan", str(compiler), env)


def test_vulkan_packages_have_the_names_of_the_distribution(
    needs: ModuleType, machine: Path, root: Path
) -> None:
    compiler = str(program(machine, "c++", "exit 1"))
    for text, says in (
        ("ID=fedora\n", "dnf install vulkan-loader-devel"),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", "apt install libvulkan-dev"),
    ):
        release(root, text)
        with pytest.raises(needs.Missing, match=says):
            needs.prepare("vulkan", compiler, {"PATH": str(machine)})
