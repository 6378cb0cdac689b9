"""Corrections made by hand: the edit language, its application, edits from corrected labels, files and logs.

``edits`` is the language, ``apply`` changes labels, ``compare`` and ``from_labels`` find edits, ``files`` reads and
logs.
"""
