"""The papers again: each experiment takes models and files on disk and leaves tables and pictures.

One folder per paper (``osnet``, ``choi``); ``score_tables`` compares scores with those of a paper, ``recipe``
reads
the experiments' YAML files, ``result`` writes what came out. To add an experiment, write a module with one function
``(model, items, output, settings) -> result`` in its paper's folder and give it a YAML file in ``recipes``.
"""
