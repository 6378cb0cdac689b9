"""Data that books and programs publish results of."""

from __future__ import annotations

import pandas as pd

SLEEP_FIRST = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_SECOND = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
"""Hours of sleep gained with two drugs by ten patients: Student, Biometrika 6, 20 (1908); R's data set `sleep`."""

_SCORES = {
    "A": [52.0, 52.8, 53.1, 51.8, 52.8, 53.1, 60.0, 60.2, 58.4, 51.1, 52.3, 50.3, 50.9, 51.8, 51.4, 46.4, 44.8, 49.2],
    "B": [62.1, 62.6, 64.0, 59.7, 60.0, 59.0, 68.6, 65.8, 69.7, 63.2, 62.8, 62.2, 64.8, 65.0, 65.4, 43.7, 44.2, 43.0],
    "C": [67.5, 67.2, 66.9, 61.5, 61.7, 62.3, 70.8, 70.6, 71.0, 64.1, 66.2, 64.0, 72.1, 72.0, 71.1, 62.0, 61.4, 60.5],
}
"""Productivity of three machines, six workers three times each: Pinheiro and Bates, Mixed-Effects Models in S and
S-PLUS, Springer (2000), section 1.3; `Machines` of R's nlme, equal to `csv/nlme/Machines.csv` of
github.com/vincentarelbundock/Rdatasets in all 54 scores."""

SLOPES_MS_PER_DAY = [
    21.764702, 2.2617855, 6.1148988, 3.0080727, 5.2660188, 9.5667679, 9.1420455, 12.253141, -2.8810339, 19.025974,
    13.493933, 19.504017, 6.4334976, 13.566549, 11.348109, 18.056151, 9.1884448, 11.298073,
]  # fmt: skip
"""Slope of each of 18 subjects' reaction times, by least squares: what `lmList(Reaction ~ Days | Subject, sleepstudy)`
gives in lme4's own test (`tests/lmList-tests.R` of github.com/lme4/lme4); Belenky et al., J Sleep Res 12, 1 (2003),
doi:10.1046/j.1365-2869.2003.00337.x."""

REACTIONS_MS = {
    "308": [249.56, 258.7047, 250.8006, 321.4398, 356.8519, 414.6901, 382.2038, 290.1486, 430.5853, 466.3535],
    "309": [222.7339, 205.2658, 202.9778, 204.707, 207.7161, 215.9618, 213.6303, 217.7272, 224.2957, 237.3142],
    "335": [241.6083, 273.9472, 254.4907, 270.8021, 251.4519, 254.6362, 245.4523, 235.311, 235.7541, 237.2466],
}
"""Reaction times of three of them on days 0 to 9: `csv/lme4/sleepstudy.csv` of
github.com/vincentarelbundock/Rdatasets."""


def machines() -> pd.DataFrame:
    """Machine as the condition, worker as the replicate, each of three scores as a cell."""
    return pd.DataFrame(
        [
            {"condition": machine, "replicate": str(number // 3 + 1), "value": score}
            for machine, scores in _SCORES.items()
            for number, score in enumerate(scores)
        ]
    )
