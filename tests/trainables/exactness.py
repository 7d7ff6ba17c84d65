"""Two ways to compute the same, held against each other: models without dropout, and without rounding."""

from __future__ import annotations


def quiet(model):
    """The model without dropout."""
    for module in model.modules():
        for name in ("p", "dropout_prob", "dropout"):  # attention has a number of its own
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


def exactly(model, masked_lm=False):
    """The model in double precision, where rounding is far below what Adam's epsilon hides; its masked LM head too."""
    model.double()
    model._base = {name: tensor.double() for name, tensor in model._base.items()}
    if masked_lm:
        model.masked_lm_head()  # read once, and kept
        model._masked_lm_head[0].double()
    return model


def furthest(one, other, but=()):
    """The largest difference between two stages' weights, which have the same names and shapes in the same order;
    names that end with `but` left out."""
    assert list(one) == list(other)
    assert [one[name].shape for name in one] == [other[name].shape for name in one]
    assert [one[name].dtype for name in one] == [other[name].dtype for name in one]
    return max(float((one[name] - other[name]).abs().max()) for name in one if not name.endswith(but or "none"))
