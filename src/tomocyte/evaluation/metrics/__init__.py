"""The metrics: one file per kind of counts they need, each with a tuple ``METRICS``.

To add a metric, add a :class:`~tomocyte.evaluation.metric.Metric` to the tuple of a file here, or add a file with such
a tuple. What it counts (a property of the counts) may stand in the file of those counts. Nothing else is touched.
"""
