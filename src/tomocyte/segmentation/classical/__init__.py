"""The classical engine: cells, nuclei and inclusions without training.

``steps`` puts them together; to add a step, write a file here and call it there.
"""
