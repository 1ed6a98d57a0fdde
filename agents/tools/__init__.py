"""What agents can call while they answer. A tool is one file here and one line of `TOOLS`."""

from __future__ import annotations

from agents.tools.now import NOW
from agents.tools.recall import RECALL
from agents.tools.tool import Asked as Asked
from agents.tools.tool import Context as Context
from agents.tools.tool import Result as Result
from agents.tools.tool import Tool as Tool

TOOLS: dict[str, Tool] = {tool.name: tool for tool in (RECALL, NOW)}
