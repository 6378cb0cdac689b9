from .agreement import Agreement as Agreement
from .agreement import mean_and_sd as mean_and_sd
from .agreement import paired_agreement as paired_agreement
from .bootstrap import BootstrapSettings as BootstrapSettings
from .bootstrap import Interval as Interval
from .bootstrap import bootstrap_interval as bootstrap_interval
