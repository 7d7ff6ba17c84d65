"""Robustness in every language: edits in a text's own script, suites of them, and attacks. Free of Ray."""
