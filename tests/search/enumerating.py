"""What tests that count stages share: enumerating a study's stages instead of counting them by formula."""

from __future__ import annotations

from search.tree import StageTree


def enumerated(study):
    """What `Study.counts` should say."""
    tree = StageTree(lambda stage: 1.0, lambda key: False)
    for candidate in study.space:
        for seed in range(study.settings.seeds):
            tree.add(f"{candidate.name} #{seed}", study.stages(candidate, seed))
    for candidate, seed in study.control_runs:
        tree.add(f"{candidate.name} #{seed}", study.stages(candidate, seed))
    return {"candidates": study.space.size, "stages_naive": tree.naive, "stages_distinct": tree.distinct}
