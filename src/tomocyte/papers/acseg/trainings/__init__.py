"""What the tables of ACSeg share: labels that people make, trainings of equal cost, and scores of whole volumes.

Inside: ``recipe`` (settings), ``volumes`` (which are learned from, which tested), ``labels`` (painted and propagated),
``train`` (as many steps as fit into the minutes), ``score``, ``claims``. To make labels in another way, add it to
:data:`tomocyte.papers.acseg.trainings.recipe.LabelKind` and to ``labels``.
"""
