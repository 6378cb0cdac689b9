from .run import run_inputs as run_inputs
