"""Zhanghao et al. 2021 (doi:10.1101/2021.12.13.472520): fifteen compartments from two channels of Nile Red.

``recipe`` says what is simulated and what the paper claims, ``fields`` finds the stacks and their masks, ``anatomy`` is
Fig. 1, ``scoring`` Fig. 2, ``mitosis`` Fig. S5, ``claims`` decides what holds, ``pictures`` draws.
"""
