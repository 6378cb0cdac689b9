"""ACSeg's Table 1 and Fig. 2: the score after training on more and more volumes, of labels of two kinds."""

from tomocyte.papers.acseg.learning_curve.experiment import describe_learning_curve, learning_curve_experiment
from tomocyte.papers.acseg.learning_curve.recipe import LearningCurveRecipe

__all__ = ["LearningCurveRecipe", "describe_learning_curve", "learning_curve_experiment"]
