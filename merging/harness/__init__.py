"""The tasks of lm-evaluation-harness with our engines underneath: its own prompts, filters and metrics.

`index` and `frozen` are read by the web process and import nothing of it. `freezing`, `adaptor`, `scoring` and
`results` import `lm_eval`, which takes seconds: only inside functions, in workers and in processes of their own.
"""
