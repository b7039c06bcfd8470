"""
What becomes of bad input: each of `cases`, in a shop of its own, through the real DAG, as a line of docs/bad-inputs.md.

    cases      what is wrong with the shop, in SQL, and what has to come of it
    airflow    runs a DAG in this process, on an Airflow that is made for it
    trial      the shop before it, and what happened after
    __main__   `python -m local.bad_inputs`: tries all of them and writes the page
"""
