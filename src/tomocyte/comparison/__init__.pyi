from .ablation import AblationSettings as AblationSettings
from .ablation import ablate as ablate
from .crossval import crossvalidate as crossvalidate
from .crossval_recipe import CrossvalRecipe as CrossvalRecipe
from .train_model import fine_tune as fine_tune
from .train_model import finish_model as finish_model
from .train_model import train as train
