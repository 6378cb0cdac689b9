"""The papers again: each experiment takes models and files on disk and leaves tables and pictures.

One folder per paper (``osnet``, ``choi``); ``score_tables`` puts scores beside those that a paper prints, ``recipe``
reads
the experiments' YAML files, ``result`` writes what came out. To add an experiment, write a module with one function
``(model, items, output, settings) -> result`` in its paper's folder and give it a YAML file in ``recipes``.
"""
