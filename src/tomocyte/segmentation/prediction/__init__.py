"""A network applied to one frame: tiles, blending, resampling, thresholds, objects.

``frame`` gives probabilities of a whole frame (by tiles or sections), ``streamed`` masks as they come.
"""
