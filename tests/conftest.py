"""What holds for all tests."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

from tests.support import quiet
from tests.support.pace import slow_core
from tests.support.quiet import lasting_toasts

__all__ = ["lasting_toasts", "slow_core"]

quiet.install()
# GNU readline, once pytest has imported it, tells all children the size of the terminal we run in.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
    os.unsetenv(name)
# How long an example takes is no property: a busy machine stops a process for seconds.
settings.register_profile("calm", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("calm")
