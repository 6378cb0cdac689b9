"""Image formation, from simulated cells to measured images: arrays in, arrays out.

A tomogram: ``formation`` is the fast road (one scattering, the whole tomogram in one step), ``fields`` the complete one
(a complex field per beam, then a reconstruction), with ``sphere`` as its analytic judge; ``noise`` and ``fringe_noise``
disturb it. A phase image: ``phase``. Fluorescence of a nuclear stain: ``stain``. Soft X-rays: ``soft_xray``, with its
lens in ``zone_plate`` and its geometry in ``parallel_beam``. To add a physical effect, add a file;
the microscopes that use it are in :mod:`tomocyte.simulation.instruments`.
"""
