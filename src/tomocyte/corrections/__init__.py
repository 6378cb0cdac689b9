"""Corrections made by hand: the edit language, applying it, finding it from corrected labels, its files.

``edits`` is the language, ``apply`` changes labels, ``compare`` and ``from_labels`` find edits, ``files`` reads and
logs.
"""
