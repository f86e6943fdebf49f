"""The workers: Celery processes that claim evaluations from the ledger, compute them on one device and write results back."""
