"""Many trainings: what executes runs, each a configuration that becomes a row, for experiments and for tuning alike.

Configurations and rows are dicts that JSON can hold. A row depends on its configuration alone, so a run can be executed
in any process of any machine, and again if that process is lost.
"""
