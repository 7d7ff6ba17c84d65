"""The command line: `python search/run.py --space orders`, the same as `order-search run --space orders`."""

from __future__ import annotations

import sys
from pathlib import Path

# `python search/run.py` puts this folder first on the path, where `search/space.py` and others could shadow modules of
# the same name that libraries import. The packages are found from the folder above instead.
_HERE = Path(__file__).resolve().parent
sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != _HERE]
if str(_HERE.parent) not in sys.path:
    sys.path.insert(0, str(_HERE.parent))

from search.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
