"""What `halo-tui tune` tells people, for each way it can end."""

from __future__ import annotations

from typing import Any

from tui.cli.tune import as_text


def result(**other: Any) -> dict[str, Any]:
    part = {"prefill_tok_s": 400.0, "decode_tok_s": {"1": 20.0, "4": 50.0}}
    base: dict[str, Any] = {
        "bandwidth": {"host_gb_s": 50.0, "device": "Radeon 8060S", "device_gb_s": 210.0},
        "roofline": {"gb_s": 210.0, "in_cache": False, "rows": [
            {"agents": 1, "bytes_per_step": 5_000_000_000, "tok_s": 31.5, "most_tok_s": 42.0,
             "share": 0.75},
        ]},
        "default": {"settings": {}, **part}, "found": {"settings": {}, **part},
        "confirmed": False, "gain": 1.0, "ratios": [], "quantised_cells": None,
        "stopped": False, "written": None, "earlier": {},
    }  # fmt: skip
    return {**base, **other}


FOUND = {"settings": {"engine.n_ubatch": 1024}, "prefill_tok_s": 500.0, "decode_tok_s": {"1": 21.0}}


def test_the_distance_to_the_roofline() -> None:
    text = as_text(result())
    assert "50.0 GB/s by the CPU's cores" in text
    assert "210.0 GB/s by matrix-vector products on Radeon 8060S" in text
    assert "5,000.0 MB of weights a step, 31.5 of 42.0 tok/s that 210.0 GB/s allow: 75%" in text
    cached = {**result()["roofline"], "in_cache": True}
    assert "memory is no bound" in as_text(result(roofline=cached))
    assert "roofline" not in as_text(result(roofline=None))


def test_a_winner() -> None:
    ratios = [1.1, 1.2, 1.15, 1.12]
    won = result(found=FOUND, confirmed=True, gain=1.13, ratios=ratios, written="/x/config.toml")
    text = as_text(won)
    assert "n_ubatch 1024 is 1.13 x the default (1.10 to 1.20 in 4 pairs). Written to /x" in text
    assert "n_ubatch 1024: prompts 500 tok/s, answers 21.0 (1) tok/s" in text
    assert "Nothing was written (--dry-run)." in as_text({**won, "written": None}, dry_run=True)


def test_the_default_stays() -> None:
    assert "Nothing was faster than the default. It stays." in as_text(result())
    text = as_text(result(found=FOUND, ratios=[0.9, 1.3, 1.1, 1.0]))
    assert "in turns it was 0.90 to 1.30 x the default (4 pairs), which is not enough." in text


def test_stopped() -> None:
    text = as_text(result(stopped=True, found=FOUND, ratios=[1.2]))
    assert "Stopped. Nothing was written. Best so far, not confirmed: n_ubatch 1024." in text
    assert "In turns it was 1.20 to 1.20 x the default (1 pair)." in text
    assert "Stopped. Nothing was written." in as_text(result(stopped=True, found=None))
    late = result(stopped=True, found=FOUND, confirmed=True, gain=1.1, ratios=[1.1], written="/x")
    assert "Stopped after the final comparison" in as_text(late) and "Written to /x." in as_text(
        late
    )


def test_quantised_cells_are_told_never_chosen() -> None:
    cells = {"type_k": "q8_0", "type_v": "q8_0", "ratio": 1.2, "ratios": [1.1, 1.2, 1.3]}
    text = as_text(result(quantised_cells=cells))
    assert "q8_0 cells: 1.20 x (1.10 to 1.30)" in text and "--allow-quantised-kv" in text


def test_what_an_earlier_run_wrote_is_told() -> None:
    text = as_text(result(earlier={"engine.threads": 2}))
    assert "What an earlier run wrote still holds: threads 2. `halo-tui tune --undo`" in text
    assert "earlier run" not in as_text(result(earlier={"engine.threads": 2}, written="/x"))
