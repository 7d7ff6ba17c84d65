"""Malformed and hostile inputs, one file a kind of input; `tests/test_hostile.py` tells what all must withstand."""
