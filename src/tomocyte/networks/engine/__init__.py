"""From a trained network to a function of arrays: engines, devices, precision, and what a prediction costs.

``predictor`` chooses the engine and checks what goes in and comes out, ``runners`` are the engines, ``precision`` knows
where bf16 pays, ``costs`` counts multiplications. To add an engine, write its ``*_runner`` in ``runners.py`` and name
it in ``predictor.py``.
"""

from tomocyte.networks.engine.predictor import (
    EngineChoice,
    bf16_problem,
    check_device,
    choose_engine,
    choose_precision,
    describe_engine,
    make_predictor,
)

__all__ = [
    "EngineChoice",
    "bf16_problem",
    "check_device",
    "choose_engine",
    "choose_precision",
    "describe_engine",
    "make_predictor",
]
