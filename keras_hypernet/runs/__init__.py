"""Many runs: each turns a configuration into a row, for experiments and for tuning.

Configurations and rows are dicts that JSON can hold. A row depends only on its configuration, so any process of any
machine can execute a run, and a lost run can be repeated.
"""
