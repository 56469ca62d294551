"""Recordings of runs: signal stores, the player and the causality tree."""
