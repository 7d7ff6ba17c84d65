"""Models of a study's orders in the formats of `transformers` and `adapters`: read again without this package.

`export_models` writes them; `order_search.json` beside each holds all that a prediction hangs on, and the card's code
makes predictions with plain transformers. docs/export.md says what is where.
"""

from __future__ import annotations

from trainables.export.write import export_models

__all__ = ["export_models"]
