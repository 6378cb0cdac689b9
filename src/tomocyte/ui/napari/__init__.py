"""The plugin of napari: files and runs opened as layers, corrected, measured again.

``opening`` turns files into layers and ``reader`` hands them to napari; what is offered there stands in
``napari.yaml``. Only ``reader`` and the modules of widgets import napari, everything else is tested without it.
"""
