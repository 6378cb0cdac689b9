"""Optical diffraction tomography: from a cell's refractive index to the tomogram an instrument would measure.

``formation`` is the fast way (one scattering, the whole tomogram in one step); ``fields`` the complete one (a complex
field per beam, then a reconstruction), with ``sphere`` as its analytic judge. To add a step, add a file and import
its public function here.
"""

from tomocyte.simulation.odt.fields import reconstruct_odt, simulate_fields, simulate_odt_thick
from tomocyte.simulation.odt.formation import recovered_fraction, simulate_odt
from tomocyte.simulation.odt.fourier_support import fourier_coverage

__all__ = [
    "fourier_coverage",
    "reconstruct_odt",
    "recovered_fraction",
    "simulate_fields",
    "simulate_odt",
    "simulate_odt_thick",
]
