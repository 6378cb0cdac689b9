"""The second level of a segmentation: where exactly its surfaces lie, at the image's own voxel size.

``boundary`` asks the image itself, ``patches`` a second network. Both take labels from anywhere: a network that saw a
coarser image, the classical engine, a person. To refine by another method, add a file here and name it in
``RefinementSettings.method`` and in the stage ``refine``.
"""
