"""Whether training stages together is worth it: a few steps are measured, one after another and together.

Together there are fewer and larger operations, but padding up to the longest text of a pass, and states that no longer
fit a processor's caches. Which outweighs which depends on the machine, so it is measured on the real batches, once for
all groups of stages that are alike. Nothing that is measured is kept: what is trained after is set up anew.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial

import torch

from trainables.fusable import signature
from trainables.fused import Job, fits, run_steps, set_up_all
from trainables.kinds.forms import kind_of
from trainables.models import Encoder
from trainables.oom import out_of_memory, release
from trainables.train import Course, backward, set_up
from trainables.watch import uncounted

PASSES = {"cpu": (1024, 2048), "cuda": (4096, 16384, 65536)}
"""Padded tokens of a pass that are tried, by device."""

ALONE = 0
"""What is chosen in their place where one after another is faster."""

WORTH = 1.05
"""By how much together must be faster: what was measured as less may be chance."""

MEASURED_FROM = 300
"""Steps that a trial of such groups has, this one's and those before it together, where it is worth measuring: that
takes as long as about eight of them, so 3 % of the time at most. Until then they are trained one after another."""

ROUNDS = 2
SAMPLE = 32

_chosen: dict[Hashable, int] = {}
_asked: dict[Hashable, int] = {}


def pays(model: Encoder, jobs: Sequence[Job]) -> bool:
    """Whether the jobs are trained faster together."""
    return pass_tokens(model, jobs) != ALONE


def pass_tokens(model: Encoder, jobs: Sequence[Job]) -> int:
    """Padded tokens of a pass with which the jobs are trained fastest together; `ALONE` where they should not be.

    Asked once a group. Measured once for all groups that are alike: of one signature, as many trials, and batches of
    about as many tokens. Batches that are too large for two of them to be read in a pass are not.
    """
    if len(jobs) < 2 or not fits(model) or signature(jobs[0].stage) is None:
        return ALONE
    two = 2 * sum(map(_tokens, jobs)) / len(jobs)
    choices = [tokens for tokens in PASSES[model.device.type] if tokens >= two]
    key = _key(model, jobs)
    _asked[key] = _asked.get(key, 0) + min(job.stage.steps for job in jobs)
    if key not in _chosen:
        if not choices or _asked[key] < MEASURED_FROM:
            return ALONE
        with uncounted(), torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
            _chosen[key] = fastest(measured(model, [replace(job, begun=None) for job in jobs], choices))
        model.reset()
    return _chosen[key]


def fastest(seconds: dict[int, float]) -> int:
    """The choice that takes the least time; one after another where together is hardly faster."""
    best = min(seconds, key=lambda tokens: seconds[tokens])
    return best if seconds[best] * WORTH < seconds[ALONE] else ALONE


def measured(model: Encoder, jobs: Sequence[Job], choices: Sequence[int]) -> dict[int, float]:
    """Seconds that a step of all jobs takes, by tokens of a pass. One after another is measured before and after the
    others, of the jobs with the smallest and the largest batches."""
    by_size = {_tokens(job): job for job in jobs}
    ends = {size: by_size[size] for size in (min(by_size), max(by_size))}
    before = {size: _alone(model, job) for size, job in ends.items()}
    seconds = _together(model, jobs, choices)
    least, *more = (min(spent, _alone(model, ends[size])) for size, spent in before.items())
    slope = (more[0] - least) / (max(ends) - min(ends)) if more else 0.0
    return {**seconds, ALONE: sum(least + slope * (_tokens(job) - min(ends)) for job in jobs)}


def _alone(model: Encoder, job: Job) -> float:
    """Seconds a step of `train`, the least of some."""
    set_up(model, job.stage, job.tasks, job.parent, job.carried)
    course = Course(job.stage, [parameter for parameter in model.parameters() if parameter.requires_grad])
    kinds = {task.name: kind_of(task, model) for task in job.tasks}
    batches = course.batches(job.features)

    def step() -> None:
        task, chosen = next(batches)
        course.optimizer.zero_grad(set_to_none=True)
        course.step(backward(model, kinds[task], task, chosen))

    step()
    return min(_seconds(model, step) for _ in range(ROUNDS))


def _together(model: Encoder, jobs: Sequence[Job], choices: Sequence[int]) -> dict[int, float]:
    """Seconds a step of all jobs, the least of some. What the memory is too small for takes for ever."""
    seconds = dict.fromkeys(choices, math.inf)
    trials = set_up_all(model, jobs)
    run_steps(model, trials, choices[0], 1)
    for tokens in [*choices] * ROUNDS:
        try:
            spent = _seconds(model, partial(run_steps, model, trials, tokens, 1))
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            release(model, error)
            return seconds
        seconds[tokens] = min(seconds[tokens], spent)
    return seconds


def _seconds(model: Encoder, work: Callable[[], None]) -> float:
    """What the work takes: of one thread the processor's time, which others on the machine disturb least."""
    cuda = model.device.type == "cuda"
    clock = time.perf_counter if cuda or torch.get_num_threads() > 1 else time.process_time
    if cuda:
        torch.cuda.synchronize(model.device)
    begun = clock()
    work()
    if cuda:
        torch.cuda.synchronize(model.device)
    return clock() - begun


def _key(model: Encoder, jobs: Sequence[Job]) -> Hashable:
    """What the time hangs on, tokens and lengths of prompts to about a third."""
    tokens = [_tokens(job) for job in jobs]
    prompts = [int(job.stage.settings.get("prompt_length") or 0) for job in jobs]
    about = [sum(tokens) / len(tokens), max(tokens), sum(prompts) / len(prompts), max(prompts)]
    sizes = tuple(round(2 * math.log2(1 + size)) for size in about)
    return signature(jobs[0].stage), len(jobs), str(model.device), torch.get_num_threads(), sizes


def _tokens(job: Job) -> float:
    """About how many padded tokens a batch has."""
    sizes = []
    for features in job.features.values():
        some = features[:: max(1, len(features) // SAMPLE)]
        sizes.append(sum(len(feature.rows) * feature.length for feature in some) / len(some))
    return int(job.stage.settings["batch_size"] or 1) * sum(sizes) / len(sizes)
