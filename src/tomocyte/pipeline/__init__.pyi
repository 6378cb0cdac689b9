from .analysis import Analysis as Analysis
from .analysis import analyse as analyse
from .item import open_input as open_input
from .item import preview as preview
from .item import process_item as process_item
from .plan import Plan as Plan
from .planning import plan_run as plan_run
from .settings import RunSettings as RunSettings
