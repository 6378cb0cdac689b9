from .errors import TomocyteError as TomocyteError
from .formats import read_volume as read_volume
from .formats import write_volume as write_volume
from .ledger import verify as verify
from .measurements import measure as measure
from .pipeline import analyse as analyse
from .pipeline import segment as segment
from .pipeline.settings import RunSettings as RunSettings
from .runs import run_inputs as run_inputs
from .volume import Volume as Volume

__version__: str
