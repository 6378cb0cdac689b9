"""Touching cells separated by their nuclei.

``separate`` is the method; ``windows``, ``votes``, ``nuclei`` and ``unclaimed`` are its parts.
"""
