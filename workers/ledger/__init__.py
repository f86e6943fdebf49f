"""The ledger: execution at least once, accounting exactly once. Postgres is the queue and the truth.

    claims        pending -> leased, with a fencing token; renew
    results       leased -> done | failed | pending again, if the token still holds
    exports       the same three for models that are built for download
    trials        and for a few questions to one model, of no run
    leases        what exports, trials and fetches have in common
    generations   a complete generation is told, the next one is opened, the search is finished
    repairs       what crashes leave behind: expired leases, complete generations, events that nobody relayed
    housekeeping  what time brings: room on a full disk, the end of deleted runs

Every function is one short transaction (or none), may be called by any number of processes at any moment, and locks the
run's row before any evaluation. No transaction is open while anything is computed. Knows no Celery, device or torch.
"""
