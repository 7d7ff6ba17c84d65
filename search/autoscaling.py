"""How many trials fit on nodes that a cluster does not have yet: what its autoscaler may start.

Ray's head does not tell which nodes its autoscaler may start, so it is read where it stands: in the file that Ray's
launcher leaves on the head, where drivers of submitted jobs run. In pods of KubeRay it cannot be read.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from search.slots import asked, fit
from trainables.config import read_yaml
from trainables.errors import Mistake

if TYPE_CHECKING:
    from search.settings import Settings

BOOTSTRAP = "ray_bootstrap_config.yaml"
"""In the home folder of a head that Ray's launcher has started."""

KUBERAY = "RAY_USAGE_STATS_KUBERAY_IN_USE"
"""KubeRay sets it to 1 in its pods."""


def addable(settings: Settings) -> int:
    """How many trials fit on nodes that may be added; in KubeRay's pods as many as --max-concurrent asks for."""
    if os.environ.get(KUBERAY) == "1":
        return settings.max_concurrent or 0
    try:
        config = read_yaml(Path.home() / BOOTSTRAP)
        kinds, head, left = config["available_node_types"], config["head_node_type"], int(config["max_workers"])
        ask, found = asked(settings), 0
        own = [(fit(ask, kind.get("resources", {})), int(kind.get("max_workers", left)))
               for name, kind in kinds.items() if name != head]  # fmt: skip
        for each, most in sorted(own, reverse=True):  # of so many nodes in all, those that hold most
            found, left = found + each * min(most, left), left - min(most, left)
    except (Mistake, KeyError, TypeError, ValueError, AttributeError, RuntimeError):
        return 0  # no launcher was here, or it was another's
    return found
