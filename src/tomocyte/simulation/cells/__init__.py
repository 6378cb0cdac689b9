"""Cells as continuous shapes, in space and time, with what is true of each of them.

Geometry lives in ``shapes`` (and its ``kernels``), cell lines in ``presets`` (one row each), the making of cells in
``plan``, ``bodies``, ``nuclei``, ``organelles``, ``composition``, ``assembly`` and ``field``, time in ``motion``,
voxels in ``rendering``, numbers in ``truth``. To add a cell line, add a row in ``presets``; a structure, see ``scene``.
"""
