"""`make chaos`: what the pipeline leaves when things break under it, held against what it leaves when nothing does.

On a practice stack of its own, with a small simulated shop, a programme of runs of every DAG is gone through without
disturbance first; after each step, all that is published and kept is noted (`told`). Then the stack goes back to the
backup from before, and goes through the same steps while faults are injected (`faults`): seeded, aimed at each task in
turn, at a random moment of its time. What was killed is started again as an operator would, by what `make up` does; a
run that failed is cleared as the runbooks say; and after each step everything must be as it was without the faults.
Meanwhile CRMs read (`readers`): every answer must be one whole snapshot.

    local.chaos.programme    the steps, and the run of one while faults come
    local.chaos.stages       the same without Airflow
    local.chaos.command      the passes, until enough faults were injected
    local.chaos.report       docs/chaos.md
"""
