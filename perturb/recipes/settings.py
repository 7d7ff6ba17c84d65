"""Settings of an attack, as a suite's file gives them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AttackSettings(BaseModel):
    """A search for the worst of many edits. Its edit budget by default is that of a suite of severity 3."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = Field(description="a name of `order-search ls attacks`")
    queries: int | None = Field(None, ge=2, description="of the model, at most, an example; null for no limit")
    words: float = Field(0.35, gt=0, le=1, description="share of the words that may be edited, at least one word")
    examples: int | None = Field(None, ge=1, description="of a language, the same in each; null for all of the suite")
    most: int = Field(8, ge=1, description="options of an edit that are tried for a word")
    fields: Literal["all", "first", "second"] = Field("all", description="of pairs: both texts, or one of them")
    seed: int = Field(0, ge=0)

    @property
    def budget(self) -> float:
        """The queries as TextAttack counts them: its 0.3.11 knows no None."""
        return float("inf") if self.queries is None else self.queries
