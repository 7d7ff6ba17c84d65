"""Analyses of a study: tables made from the long table of scores alone."""
