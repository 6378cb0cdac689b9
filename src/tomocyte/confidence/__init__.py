"""How sure a prediction is: voxels, objects, ensembles, out-of-distribution images; and how that is fitted.

``settings`` is what a model card keeps, ``levels`` and ``fit`` make it from held-out images.
"""
