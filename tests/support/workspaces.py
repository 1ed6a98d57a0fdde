"""A workspace of four agents on a real engine, whose answers go on to their limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.workspace import Workspace
from engine.client import EngineClient
from engine.config import AgentConfig, Config

NAMES = ["ada", "grace", "alan", "kurt"]
ENDLESS = "root ::= [a-z ] root"  # never complete


def with_agents(config: Config, max_tokens: int, seed: int = 1) -> Config:
    """The settings with the four in them."""
    sampling = {"max_tokens": max_tokens, "seed": seed, "grammar": ENDLESS, "loop_tokens": 0}
    config.agents = [AgentConfig(name, f"You are {name}.", sampling=sampling) for name in NAMES]
    return config


@asynccontextmanager
async def started(config: Config, folder: Path) -> AsyncIterator[Workspace]:
    """A workspace whose engine is ready; stopped at the end."""

    def make(config: Config) -> EngineClient:
        return EngineClient(config, log_path=folder / "core.log", swap_folder=folder / "swap")

    workspace = Workspace(config, make(config), folder / "data", make)
    await workspace.start()
    try:
        await workspace.wait_ready()
        yield workspace
    finally:
        await workspace.stop()
